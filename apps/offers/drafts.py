"""Change a draft or throw it away, as long as nobody else has seen it."""

import datetime as dt

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.offers.choices import OfferStatus
from apps.offers.exceptions import OfferError
from apps.offers.models import Offer
from apps.offers.services import check_terms


@transaction.atomic
def change_draft(*, offer: Offer, energy_wh: int, price_micro: int, open_until: dt.datetime) -> Offer:
    """Configure a draft anew. Raises `OfferError` under the rules of `draft_offer`."""
    draft = _lock(offer)
    if not 0 < energy_wh <= draft.declaration.available_wh:
        raise OfferError(_("Choose an amount up to the surplus that is not offered yet."))
    check_terms(energy_wh, price_micro, open_until, timezone.now())
    draft.energy_wh, draft.price_micro, draft.open_until = energy_wh, price_micro, open_until
    draft.save(update_fields=["energy_wh", "price_micro", "open_until"])
    return draft


@transaction.atomic
def discard_draft(offer: Offer) -> None:
    _lock(offer).delete()


def _lock(offer: Offer) -> Offer:
    locked = Offer.objects.select_for_update(of=["self"]).select_related("declaration").filter(pk=offer.pk).first()
    if locked is None or locked.status != OfferStatus.DRAFT:
        raise OfferError(_("This offer is no draft any more."))
    return locked

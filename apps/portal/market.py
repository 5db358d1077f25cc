"""Offers and purchases as tables."""

from collections.abc import Iterable, Sequence

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _

from apps.accounts.permissions import Action, Viewer
from apps.ledger.choices import LedgerState
from apps.offers.choices import OfferStatus
from apps.offers.models import Declaration, Offer, Purchase
from apps.portal.cells import chip_cell, seal_cell
from apps.portal.links import link, offer_url, purchase_url
from apps.portal.records import seals_of
from apps.web.components import Column, Table
from apps.web.formatting import kwh_number, local_date, local_datetime, money, unit_price
from market_math.money import amount


def price_of(offer: Offer) -> str:
    return unit_price(offer.price_micro, offer.declaration.area.currency, offer.declaration.seller.country)


def place_of(declaration: Declaration) -> str:
    return declaration.plant.point.city or declaration.seller.city


def open_table(offers: Iterable[Offer], viewer: Viewer) -> Table:
    """Offers of others, with a button for those who may buy."""
    columns = (
        Column(_("Seller")),
        Column(_("Place")),
        Column(_("Made on")),
        Column(_("Published")),
        Column(_("kWh left"), numeric=True),
        Column(_("Price"), numeric=True),
        Column(_("All of it"), numeric=True),
        Column(_("Action")),
    )
    return Table(_("Surplus of your neighbours, cheapest first"), columns, tuple(_open(o, viewer) for o in offers))


def _open(offer: Offer, viewer: Viewer) -> tuple[str, ...]:
    declaration = offer.declaration
    published = local_date(offer.published_at, declaration.area.zone) if offer.published_at else ""
    may_buy = viewer.may(Action.BUY, offer)
    buy = reverse("portal:buy", args=[offer.pk])
    return (
        declaration.seller.name,
        place_of(declaration),
        local_date(declaration.day),
        published,
        kwh_number(offer.remaining_wh, fixed=True),
        price_of(offer),
        money(amount(offer.remaining_wh, offer.price_micro), declaration.area.currency),
        format_html('<a class="button" href="{}">{}</a>', buy, _("Buy")) if may_buy else "",
    )


def own_table(offers: Sequence[Offer]) -> Table:
    columns = (
        Column(_("Surplus of")),
        Column(_("kWh offered"), numeric=True),
        Column(_("kWh sold"), numeric=True),
        Column(_("Price"), numeric=True),
        Column(_("Open until")),
        Column(_("Status")),
        Column(_("Ledger")),
    )
    rows = tuple(_own(offer, seal_cell(seal)) for offer, seal in zip(offers, seals_of(offers), strict=True))
    return Table(_("Your offers"), columns, rows)


def _own(offer: Offer, seal: str) -> tuple[str, ...]:
    declaration = offer.declaration
    return (
        link(offer_url(offer.pk), f"{declaration.plant}, {local_date(declaration.day)}"),
        kwh_number(offer.energy_wh, fixed=True),
        kwh_number(offer.committed_wh, fixed=True),
        price_of(offer),
        local_date(offer.open_until, declaration.area.zone),
        chip_cell(*offer_status(offer)),
        seal,
    )


def offer_status(offer: Offer) -> tuple[str, str]:
    """Where an offer stands, in a word and the tone of its chip."""
    match offer.status:
        case OfferStatus.DRAFT if offer.ledger_state == LedgerState.REJECTED:
            return _("rejected, draft again"), "bad"
        case OfferStatus.DRAFT:
            return _("draft"), "neutral"
        case OfferStatus.WITHDRAWN:
            return _("withdrawn"), "neutral"
        case OfferStatus.CLOSED:
            return _("closed"), "neutral"
    if offer.closing_id is not None:
        return _("ending"), "waiting"
    if not offer.is_confirmed:
        return _("waiting"), "waiting"
    if not offer.remaining_wh:
        return _("sold out"), "good"
    if offer.open_until < timezone.now():
        return _("run out"), "neutral"
    return _("open"), "good"


def purchase_table(purchases: Sequence[Purchase]) -> Table:
    columns = (
        Column(_("From")),
        Column(_("Bought")),
        Column(_("Made on")),
        Column(_("kWh"), numeric=True),
        Column(_("Price"), numeric=True),
        Column(_("Due"), numeric=True),
        Column(_("Ledger")),
    )
    seals = seals_of(purchases)
    rows = tuple(_purchase(purchase, seal_cell(seal)) for purchase, seal in zip(purchases, seals, strict=True))
    return Table(_("Your purchases"), columns, rows)


def _purchase(purchase: Purchase, seal: str) -> tuple[str, ...]:
    declaration = purchase.offer.declaration
    return (
        link(purchase_url(purchase.pk), declaration.seller.name),
        local_datetime(purchase.created_at, declaration.area.zone),
        local_date(declaration.day),
        kwh_number(purchase.energy_wh, fixed=True),
        price_of(purchase.offer),
        money(purchase.amount_nano, declaration.area.currency),
        seal,
    )

"""Messages about who may act for a party, to each reader in their language, sent once the change is stored."""

from collections.abc import Iterable
from enum import StrEnum
from functools import partial

from django.core.mail import send_mail
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from apps.accounts.invitations import VALID, token_of
from apps.accounts.models import Membership, User
from apps.accounts.permissions import acting


class Occasion(StrEnum):
    INVITED = "invited"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    ENDED = "ended"


def tell(occasion: Occasion, membership: Membership, by: User, site: str, *, also: Iterable[User] = ()) -> None:
    """Tell those who act for the party, the person concerned (not of the mere question), and `also`."""
    members = [each.user for each in acting(membership.party.memberships.select_related("user"))]
    concerned = [] if occasion is Occasion.INVITED else [membership.user]
    context = _context(membership, by) | {"occasion": occasion.value, "link": f"{site}{reverse('portal:people')}"}
    for reader in {user.pk: user for user in (*members, *also, *concerned)}.values():
        _send("accounts/mail/notice.txt", context, reader.email, reader.language)


def send_invitation(membership: Membership, site: str) -> None:
    """Send the link to the e-mail address that the party gave."""
    link = f"{site}{reverse('portal:invitation', args=[token_of(membership)])}"
    context = _context(membership, membership.invited_by) | {"link": link, "days": VALID.days}
    _send("accounts/mail/invitation.txt", context, membership.party.email, membership.user.language)


def _context(membership: Membership, by: User | None) -> dict[str, object]:
    party = membership.party
    return {"person": membership.user, "party": party, "utility": party.utility or party, "by": by}


def _send(template: str, context: dict[str, object], address: str, language: str) -> None:
    with translation.override(language):
        # No names here: a heading must be a single line.
        subject = _("Who may act for you in the energy market")
        text = render_to_string(template, context)
    # The change stands even when the mail server is away; Django logs that.
    transaction.on_commit(partial(send_mail, subject, text, None, [address]), robust=True)

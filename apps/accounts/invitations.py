"""The link in an invitation: signed, good for a time and for one decision."""

import datetime as dt

from django.core import signing
from django.utils.translation import gettext as _

from apps.accounts.choices import MemberState
from apps.accounts.exceptions import MembershipError
from apps.accounts.models import Membership

VALID = dt.timedelta(days=14)
_SALT = "apps.accounts.invitation"


def token_of(membership: Membership) -> str:
    """Names the membership and the moment of asking, so that asking again makes earlier links worthless."""
    return signing.dumps([membership.pk, _asked(membership)], salt=_SALT)


def invitation_of(token: str) -> Membership:
    """The invitation that a link is for. Raises `MembershipError` once it is too old, decided or asked anew."""
    try:
        pk, asked = signing.loads(token, salt=_SALT, max_age=VALID)
    except signing.BadSignature:
        raise MembershipError(_("This link is too old or not complete.")) from None
    membership = Membership.objects.select_related("user", "party__utility", "invited_by").filter(pk=pk).first()
    if membership is None or membership.state != MemberState.INVITED or _asked(membership) != asked:
        raise MembershipError(_("This link was used already, or a newer one was sent."))
    return membership


def _asked(membership: Membership) -> str:
    return membership.invited_at.isoformat() if membership.invited_at else ""

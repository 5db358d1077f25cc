"""Who acts for a party: staff ask, the party decides, everybody concerned gets a message."""

import structlog
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.choices import MemberRole, MemberState, PartyRole
from apps.accounts.exceptions import MembershipError
from apps.accounts.models import Membership, Party, User
from apps.accounts.notices import Occasion, send_invitation, tell
from apps.accounts.permissions import Action, Viewer, acting

logger = structlog.get_logger(__name__)


@transaction.atomic
def appoint(*, user: User, party: Party, role: MemberRole, by: User) -> Membership:
    """Let a person work for a utility, look into it or act for it. For superusers: a customer is asked first."""
    if party.role != PartyRole.UTILITY:
        raise MembershipError(_("Staff and auditors belong to a utility."))
    _lock(party)
    _check_new(user, party, role)
    return Membership.objects.create(
        user=user,
        party=party,
        role=role,
        state=MemberState.CONFIRMED,
        invited_by=by,
        invited_at=timezone.now(),
        decided_by=by,
        decided_at=timezone.now(),
    )


@transaction.atomic
def invite(*, user: User, party: Party, by: User, site: str) -> Membership:
    """Ask a customer whether a person may act for them; `site` is the address of this installation, for the links.

    Those who act for the customer already decide on the portal; while nobody does, whoever holds the e-mail address
    that the customer gave. Raises `MembershipError`.
    """
    if party.role == PartyRole.UTILITY:
        raise MembershipError(_("Who acts for a utility is appointed by a superuser."))
    _lock(party)
    _check_new(user, party, MemberRole.MEMBER)
    membership = Membership(user=user, party=party)
    _ask(membership, by, site)
    return membership


@transaction.atomic
def ask_again(membership: Membership, *, by: User, site: str) -> None:
    """Send the messages of an invitation once more; the link sent before is worthless then."""
    membership = _locked(membership)
    if membership.state != MemberState.INVITED:
        raise MembershipError(_("This was decided already."))
    _ask(membership, by, site)


@transaction.atomic
def confirm(membership: Membership, *, by: User, site: str, own_household: bool = False) -> None:
    """Say yes in the name of the party. For a person who works for its utility, that it is their own household.

    Raises `PermissionDenied` for those who may not decide, `MembershipError` when there is nothing to decide.
    """
    membership = _locked(membership)
    Viewer(by).require(Action.DECIDE_MEMBER, membership)
    stopped = membership.state == MemberState.CONFIRMED and not membership.is_in_force
    if membership.state != MemberState.INVITED and not stopped:
        raise MembershipError(_("This was decided already."))
    of_colleague = membership.of_colleague
    if of_colleague and not own_household:
        raise MembershipError(_("This person works for the utility and may act in their own household only."))
    membership.state, membership.own_household = MemberState.CONFIRMED, of_colleague
    membership.decided_by, membership.decided_at = by, timezone.now()
    membership.save()
    _record(Occasion.CONFIRMED, membership, by, site)


@transaction.atomic
def refuse(membership: Membership, *, by: User, site: str) -> None:
    """Say no in the name of the party. Raises as `confirm` does."""
    membership = _locked(membership)
    Viewer(by).require(Action.DECIDE_MEMBER, membership)
    if membership.state != MemberState.INVITED:
        raise MembershipError(_("This was decided already."))
    membership.state, membership.decided_by, membership.decided_at = MemberState.REFUSED, by, timezone.now()
    membership.save()
    _record(Occasion.REFUSED, membership, by, site)


@transaction.atomic
def end(membership: Membership, *, by: User, site: str) -> None:
    """End a membership, or take an invitation back. Whoever acted until now is told too."""
    membership = _locked(membership)
    if membership.state not in (MemberState.INVITED, MemberState.CONFIRMED):
        raise MembershipError(_("This is over already."))
    others = [each.user for each in acting(membership.party.memberships.select_related("user"))]
    membership.state, membership.ended_by, membership.ended_at = MemberState.ENDED, by, timezone.now()
    membership.save()
    _record(Occasion.ENDED, membership, by, site, also=others)


def may_take_address(party: Party) -> bool:
    """Whether staff may note the party's e-mail address: once, and only while nobody ever acted for it."""
    asked_only = (MemberState.INVITED, MemberState.REFUSED)
    return not party.email and not party.memberships.exclude(state__in=asked_only).exists()


def _ask(membership: Membership, by: User, site: str) -> None:
    party = membership.party
    somebody_acts = acting(party.memberships.all()).exists()
    if not somebody_acts and not party.email:
        raise MembershipError(
            _("Nobody acts for this party yet, and it gave no e-mail address. Add its address first.")
        )
    membership.invited_by, membership.invited_at = by, timezone.now()
    membership.save()
    if not somebody_acts:
        send_invitation(membership, site)
    _record(Occasion.INVITED, membership, by, site)


def _lock(party: Party) -> None:
    """One decision at a time per party, so that nobody decides who has just ceased to act."""
    Party.objects.select_for_update(no_key=True).get(pk=party.pk)


def _locked(membership: Membership) -> Membership:
    _lock(membership.party)
    return Membership.objects.select_related("user", "party__utility").get(pk=membership.pk)


def _check_new(user: User, party: Party, role: MemberRole) -> None:
    present = (MemberState.INVITED, MemberState.CONFIRMED)
    if Membership.objects.filter(user=user, party=party, role=role, state__in=present).exists():
        raise MembershipError(_("This person is connected to this party already, or is asked for."))


def _record(occasion: Occasion, membership: Membership, by: User, site: str, *, also: list[User] | None = None) -> None:
    logger.info(f"member_{occasion}", membership=membership.pk, party=membership.party_id, by=by.pk)
    tell(occasion, membership, by, site, also=also or [])

"""Who may do what: the one place that decides.

Everything that can be looked at or changed says where it belongs (`Scope`). A person stands in relations to that scope;
an action is allowed to some relations. What is not listed here is allowed to nobody.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from apps.accounts.choices import MemberRole, MemberState

if TYPE_CHECKING:
    from apps.accounts.models import ApiClient, Membership, User

M = TypeVar("M", bound=Model)


class Relation(StrEnum):
    """How a person stands to an object."""

    OWN = "own"  # acts for one of its parties
    NEIGHBOUR = "neighbour"  # acts for a customer of the same utility
    STAFF = "staff"  # works for its utility
    AUDITOR = "auditor"  # may look at everything of its utility
    CLIENT = "client"  # is a program of its utility
    ADDRESSEE = "addressee"  # holds, verified, the e-mail address that its party gave
    INSTALLER = "installer"  # installs boxes for its utility, and where it names people is one of them


class Action(StrEnum):
    VIEW_METERING_POINT = "view metering point"
    VIEW_READINGS = "view readings"
    MANAGE_METERING = "manage metering"
    IMPORT_READINGS = "import readings"
    VIEW_IMPORTS = "view imports of readings"
    ENROL_BOX = "enrol a box"
    VIEW_FLEET = "view the fleet of boxes"
    VIEW_MARKET = "view market"
    SELL = "sell"
    BUY = "buy"
    VIEW_DUES = "view dues"
    VIEW_INVOICE = "view invoice"
    RUN_SETTLEMENT = "run settlement"
    RUN_BILLING = "run billing"
    VIEW_LEDGER = "view ledger"
    SIGN_COMMAND = "sign a command"
    OPERATE_LEDGER = "operate the ledger"
    VIEW_PARTY = "view party"
    VIEW_MEMBERS = "view members"
    DECIDE_MEMBER = "decide on a member"
    END_MEMBER = "end a membership"


_OWN, _NEIGHBOUR, _STAFF, _AUDITOR = Relation.OWN, Relation.NEIGHBOUR, Relation.STAFF, Relation.AUDITOR

RULES: dict[Action, frozenset[Relation]] = {
    Action.VIEW_METERING_POINT: frozenset({_OWN, _STAFF, _AUDITOR}),
    Action.VIEW_READINGS: frozenset({_OWN, _STAFF, _AUDITOR}),
    Action.MANAGE_METERING: frozenset({_STAFF}),
    Action.IMPORT_READINGS: frozenset({_STAFF, Relation.CLIENT}),
    Action.VIEW_IMPORTS: frozenset({_STAFF, _AUDITOR, Relation.CLIENT}),
    Action.ENROL_BOX: frozenset({_STAFF, Relation.INSTALLER}),
    Action.VIEW_FLEET: frozenset({_STAFF, _AUDITOR}),
    Action.VIEW_MARKET: frozenset({_OWN, _NEIGHBOUR, _STAFF, _AUDITOR}),
    Action.SELL: frozenset({_OWN}),
    Action.BUY: frozenset({_NEIGHBOUR}),
    Action.VIEW_DUES: frozenset({_OWN, _STAFF, _AUDITOR}),
    Action.VIEW_INVOICE: frozenset({_OWN, _STAFF, _AUDITOR}),
    Action.RUN_SETTLEMENT: frozenset({_STAFF}),
    Action.RUN_BILLING: frozenset({_STAFF}),
    Action.VIEW_LEDGER: frozenset({_STAFF, _AUDITOR}),
    Action.SIGN_COMMAND: frozenset({_OWN}),
    Action.OPERATE_LEDGER: frozenset({_STAFF}),
    Action.VIEW_PARTY: frozenset({_OWN, _STAFF, _AUDITOR}),
    Action.VIEW_MEMBERS: frozenset({_OWN}),
    Action.DECIDE_MEMBER: frozenset({_OWN, Relation.ADDRESSEE}),
    Action.END_MEMBER: frozenset({_OWN, _STAFF}),
}

# A relation that takes an action away, whatever else holds: who acts for a customer is not for the utility to say.
NEVER: dict[Action, frozenset[Relation]] = {Action.DECIDE_MEMBER: frozenset({_STAFF})}


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an object belongs: its utility, the parties whose own it is, the e-mail address that speaks for them, the
    people whose work it is.
    """

    utility_id: int
    party_ids: frozenset[int] = frozenset()
    address: str = ""
    person_ids: frozenset[int] | None = None


class Scoped(Protocol):
    @property
    def scope(self) -> Scope: ...


def works_for_utility(memberships: "QuerySet[Membership]") -> Exists:
    """Whether the person of a membership works for the utility whose customer the party is."""
    staff = memberships.model._default_manager.filter(role=MemberRole.STAFF, state=MemberState.CONFIRMED)
    return Exists(staff.filter(user=OuterRef("user"), party=OuterRef("party__utility")))


def in_force(memberships: "QuerySet[Membership]") -> "QuerySet[Membership]":
    """Of `memberships`, those that count: confirmed, and of the utility's own staff only in their own household."""
    confirmed = memberships.filter(state=MemberState.CONFIRMED, user__is_active=True)
    return confirmed.filter(~Q(role=MemberRole.MEMBER) | Q(own_household=True) | ~works_for_utility(memberships))


def acting(memberships: "QuerySet[Membership]") -> "QuerySet[Membership]":
    """Of `memberships`, those whose person acts for the party."""
    return in_force(memberships).filter(role=MemberRole.MEMBER)


class Viewer:
    """A person as the rules see them. Make one per request: memberships are read once."""

    # Utilities of which it is a program: of none, see `ClientViewer`.
    client_of: frozenset[int] = frozenset()

    def __init__(self, user: "User | AnonymousUser") -> None:
        self.user = user

    @cached_property
    def _memberships(self) -> list[tuple[str, int, int]]:
        if not self.user.is_authenticated or not self.user.is_active:
            return []
        rows = in_force(self.user.memberships.all()).values_list("role", "party_id", "party__utility_id")
        return [(role, party, utility or party) for role, party, utility in rows]

    def _parties(self, role: str) -> frozenset[int]:
        return frozenset(party for member_role, party, _ in self._memberships if member_role == role)

    @cached_property
    def own(self) -> frozenset[int]:
        """Parties that the person acts for."""
        return self._parties(MemberRole.MEMBER)

    @cached_property
    def neighbour_of(self) -> frozenset[int]:
        """Utilities of which the person acts for a customer."""
        return frozenset(utility for role, _, utility in self._memberships if role == MemberRole.MEMBER)

    @cached_property
    def staff_of(self) -> frozenset[int]:
        return self._parties(MemberRole.STAFF)

    @cached_property
    def auditor_of(self) -> frozenset[int]:
        return self._parties(MemberRole.AUDITOR)

    @cached_property
    def installer_of(self) -> frozenset[int]:
        """Utilities for which the person installs boxes."""
        return self._parties(MemberRole.INSTALLER)

    @cached_property
    def addresses(self) -> frozenset[str]:
        """E-mail addresses of which the person has shown that they hold them, in lower case."""
        if not self.user.is_authenticated or not self.user.is_active:
            return frozenset()
        # Given to people by allauth, which has no types.
        addresses = self.user.emailaddress_set  # type: ignore[attr-defined]
        verified = addresses.filter(verified=True).values_list("email", flat=True)
        return frozenset(address.lower() for address in verified)

    def relations(self, scope: Scope) -> set[Relation]:
        own = bool(self.own & scope.party_ids)
        found = {
            Relation.OWN: own,
            Relation.NEIGHBOUR: not own and scope.utility_id in self.neighbour_of,
            Relation.STAFF: scope.utility_id in self.staff_of,
            Relation.AUDITOR: scope.utility_id in self.auditor_of,
            Relation.CLIENT: scope.utility_id in self.client_of,
            Relation.ADDRESSEE: bool(scope.address) and scope.address.lower() in self.addresses,
            Relation.INSTALLER: scope.utility_id in self.installer_of
            and (scope.person_ids is None or self.user.pk in scope.person_ids),
        }
        return {relation for relation, holds in found.items() if holds}

    def may(self, action: Action, thing: Scoped) -> bool:
        relations = self.relations(thing.scope)
        return bool(relations & RULES[action]) and not relations & NEVER.get(action, frozenset())

    def require(self, action: Action, thing: Scoped) -> None:
        """Raises `PermissionDenied`."""
        if not self.may(action, thing):
            # Messages of exceptions reach logs, so the person is a number here.
            raise PermissionDenied(f"person {self.user.pk} may not {action}")

    def visible(
        self, action: Action, objects: QuerySet[M], utility: str, *parties: str, people: tuple[str, ...] | None = None
    ) -> QuerySet[M]:
        """Of `objects`, those for which `action` is allowed. `utility`, `parties` and `people` are look-ups to their
        ids; without `people` they are not the work of anybody in particular.
        """
        wanted, barred = (
            self._where(relations, utility, parties, people)
            for relations in (RULES[action], NEVER.get(action, frozenset()))
        )
        return objects.filter(wanted).exclude(barred)

    def _where(
        self, relations: frozenset[Relation], utility: str, parties: tuple[str, ...], people: tuple[str, ...] | None
    ) -> Q:
        wanted = Q(pk__in=[])
        if Relation.OWN in relations:
            for party in parties:
                wanted |= Q(**{f"{party}__in": self.own})
        if Relation.NEIGHBOUR in relations:
            wanted |= Q(**{f"{utility}__in": self.neighbour_of})
        if Relation.STAFF in relations:
            wanted |= Q(**{f"{utility}__in": self.staff_of})
        if Relation.AUDITOR in relations:
            wanted |= Q(**{f"{utility}__in": self.auditor_of})
        if Relation.CLIENT in relations:
            wanted |= Q(**{f"{utility}__in": self.client_of})
        if Relation.INSTALLER in relations:
            theirs = Q() if people is None else Q(pk__in=[])
            for person in people or ():
                theirs |= Q(**{person: self.user.pk})
            wanted |= theirs & Q(**{f"{utility}__in": self.installer_of})
        return wanted


class ClientViewer(Viewer):
    """A program as the rules see it: it belongs to one utility and acts for nobody."""

    def __init__(self, client: "ApiClient") -> None:
        super().__init__(AnonymousUser())
        self.client_of = frozenset({client.utility_id})

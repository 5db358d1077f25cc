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
from django.db.models import Model, Q, QuerySet

from apps.accounts.choices import MemberRole

if TYPE_CHECKING:
    from apps.accounts.models import User

M = TypeVar("M", bound=Model)


class Relation(StrEnum):
    """How a person stands to an object."""

    OWN = "own"  # acts for one of its parties
    NEIGHBOUR = "neighbour"  # acts for a customer of the same utility
    STAFF = "staff"  # works for its utility
    AUDITOR = "auditor"  # may look at everything of its utility


class Action(StrEnum):
    VIEW_METERING_POINT = "view metering point"
    VIEW_READINGS = "view readings"
    MANAGE_METERING = "manage metering"
    VIEW_MARKET = "view market"
    SELL = "sell"
    BUY = "buy"
    VIEW_DUES = "view dues"
    VIEW_INVOICE = "view invoice"
    RUN_SETTLEMENT = "run settlement"
    RUN_BILLING = "run billing"
    VIEW_LEDGER = "view ledger"
    VIEW_PARTY = "view party"


_OWN, _NEIGHBOUR, _STAFF, _AUDITOR = Relation.OWN, Relation.NEIGHBOUR, Relation.STAFF, Relation.AUDITOR

RULES: dict[Action, frozenset[Relation]] = {
    Action.VIEW_METERING_POINT: frozenset({_OWN, _STAFF, _AUDITOR}),
    Action.VIEW_READINGS: frozenset({_OWN, _STAFF, _AUDITOR}),
    Action.MANAGE_METERING: frozenset({_STAFF}),
    Action.VIEW_MARKET: frozenset({_OWN, _NEIGHBOUR, _STAFF, _AUDITOR}),
    Action.SELL: frozenset({_OWN}),
    Action.BUY: frozenset({_NEIGHBOUR}),
    Action.VIEW_DUES: frozenset({_OWN, _STAFF, _AUDITOR}),
    Action.VIEW_INVOICE: frozenset({_OWN, _STAFF, _AUDITOR}),
    Action.RUN_SETTLEMENT: frozenset({_STAFF}),
    Action.RUN_BILLING: frozenset({_STAFF}),
    Action.VIEW_LEDGER: frozenset({_STAFF, _AUDITOR}),
    Action.VIEW_PARTY: frozenset({_OWN, _STAFF, _AUDITOR}),
}


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an object belongs: its utility, and the parties whose own it is."""

    utility_id: int
    party_ids: frozenset[int] = frozenset()


class Scoped(Protocol):
    @property
    def scope(self) -> Scope: ...


class Viewer:
    """A person as the rules see them. Make one per request: memberships are read once."""

    def __init__(self, user: "User | AnonymousUser") -> None:
        self.user = user

    @cached_property
    def _memberships(self) -> list[tuple[str, int, int]]:
        if not self.user.is_authenticated or not self.user.is_active:
            return []
        rows = self.user.memberships.values_list("role", "party_id", "party__utility_id")
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

    def relations(self, scope: Scope) -> set[Relation]:
        own = bool(self.own & scope.party_ids)
        found = {
            Relation.OWN: own,
            Relation.NEIGHBOUR: not own and scope.utility_id in self.neighbour_of,
            Relation.STAFF: scope.utility_id in self.staff_of,
            Relation.AUDITOR: scope.utility_id in self.auditor_of,
        }
        return {relation for relation, holds in found.items() if holds}

    def may(self, action: Action, thing: Scoped) -> bool:
        return bool(self.relations(thing.scope) & RULES[action])

    def require(self, action: Action, thing: Scoped) -> None:
        """Raises `PermissionDenied`."""
        if not self.may(action, thing):
            raise PermissionDenied(f"{self.user} may not {action}")

    def visible(self, action: Action, objects: QuerySet[M], utility: str, *parties: str) -> QuerySet[M]:
        """Of `objects`, those for which `action` is allowed. `utility` and `parties` are look-ups to their ids."""
        allowed = RULES[action]
        wanted = Q(pk__in=[])
        if Relation.OWN in allowed:
            for party in parties:
                wanted |= Q(**{f"{party}__in": self.own})
        if Relation.NEIGHBOUR in allowed:
            wanted |= Q(**{f"{utility}__in": self.neighbour_of})
        if Relation.STAFF in allowed:
            wanted |= Q(**{f"{utility}__in": self.staff_of})
        if Relation.AUDITOR in allowed:
            wanted |= Q(**{f"{utility}__in": self.auditor_of})
        return objects.filter(wanted)

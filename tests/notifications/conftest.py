"""A utility with a clerk and a customer, and two kinds of notices that no app has."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.utils.translation import gettext_lazy as _

from apps.accounts.choices import MemberRole
from apps.accounts.models import Party, User
from apps.notifications import kinds
from apps.notifications.choices import Audience, Severity
from apps.notifications.kinds import NoticeKind, register_kind
from tests.factories import CustomerFactory, MembershipFactory, UserFactory

STANDING = NoticeKind(
    "test.standing",
    "standing",
    "Silence of %(name)s",
    "%(name)s is silent.",
    Severity.ALARM,
    Audience.STAFF,
    "%(name)s is back.",
)
# With words that are translated already.
ONCE = NoticeKind("test.once", "once", _("Metering points"), "Hello %(name)s", Severity.INFO, Audience.MEMBERS)


@dataclass
class People:
    utility: Party
    customer: Party
    clerk: User
    alice: User
    stranger: User  # clerk of another utility


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(kinds, "_kinds", dict(kinds._kinds))
    register_kind(STANDING)
    register_kind(ONCE)
    yield


@pytest.fixture
def people(db: None) -> People:
    customer = CustomerFactory.make()
    made = People(
        customer.utility,  # type: ignore[arg-type]
        customer,
        *(UserFactory.make(email=f"{name}@example.org") for name in ("clerk", "alice", "stranger")),
    )
    MembershipFactory.make(user=made.clerk, party=made.utility, role=MemberRole.STAFF)
    MembershipFactory.make(user=made.alice, party=made.customer)
    MembershipFactory.make(user=made.stranger, party=CustomerFactory.make().utility, role=MemberRole.STAFF)
    return made

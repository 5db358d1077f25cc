"""A customer for whom alice acts, their neighbour bob, somebody from elsewhere, and a clerk who would like to."""

from dataclasses import dataclass

import pytest
from allauth.account.models import EmailAddress

from apps.accounts.choices import MemberRole
from apps.accounts.models import Party, User
from tests.factories import CustomerFactory, MembershipFactory, UserFactory


@dataclass(frozen=True)
class House:
    utility: Party
    customer: Party  # alice acts for it
    empty: Party  # nobody acts for it; it gave the address home@example.org
    alice: User
    bob: User
    outsider: User
    clerk: User
    holder: User  # of home@example.org, verified

    def person(self, name: str) -> User:
        person: User = getattr(self, name)
        return person


@pytest.fixture
def house(alice: User, bob: User, outsider: User) -> House:
    customer = CustomerFactory.make(name="Alder")
    utility = customer.utility
    assert utility is not None
    empty = CustomerFactory.make(name="Elm", utility=utility, email="Home@example.org")
    MembershipFactory.make(user=alice, party=customer)
    MembershipFactory.make(user=bob, party=CustomerFactory.make(utility=utility))
    MembershipFactory.make(user=outsider)
    clerk = UserFactory.make(email="clerk@example.org", name="Clerk", is_staff=True)
    MembershipFactory.make(user=clerk, party=utility, role=MemberRole.STAFF)
    return House(utility, customer, empty, alice, bob, outsider, clerk, with_address("home@example.org"))


def with_address(address: str, *, verified: bool = True, user: User | None = None) -> User:
    """A person, by default a new one, who holds an e-mail address."""
    user = user or UserFactory.make(email=address)
    EmailAddress.objects.create(user=user, email=address, verified=verified, primary=True)
    return user

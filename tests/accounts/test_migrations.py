"""The consent of customers came later than memberships, the commands of keys later than keys."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from apps.accounts.choices import MemberState
from apps.accounts.models import Membership, PartyKey
from apps.accounts.permissions import Viewer
from tests.factories import CustomerFactory, MembershipFactory, UserFactory

BEFORE = ("accounts", "0002_party_membership_partykey_and_more")
# As a process of the version before writes one.
OLD_INSERT = "INSERT INTO accounts_membership (user_id, party_id, role) VALUES (%s, %s, 'member') RETURNING id"


def migrate(*targets: tuple[str, str]) -> None:
    with connection.cursor() as cursor:
        # Foreign keys are checked at the end of a transaction unless told otherwise; a table waits for that to change.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    executor = MigrationExecutor(connection)
    executor.migrate(targets or executor.loader.graph.leaf_nodes())


@pytest.mark.django_db
def test_who_acted_before_goes_on_and_what_the_old_version_adds_meanwhile_waits() -> None:
    old = MembershipFactory.make()
    customer, user = CustomerFactory.make(), UserFactory.make()
    migrate(BEFORE)
    migrate()
    old.refresh_from_db()
    assert (old.state, old.invited_at, old.own_household) == (MemberState.CONFIRMED, None, False)
    assert old.party_id in Viewer(old.user).own
    with connection.cursor() as cursor:
        cursor.execute(OLD_INSERT, [user.pk, customer.pk])
        (pk,) = cursor.fetchone()
    assert Membership.objects.get(pk=pk).state == MemberState.INVITED
    assert customer.pk not in Viewer(user).own


@pytest.mark.django_db
def test_a_key_stands_where_the_registration_of_its_party_does() -> None:
    parties = [
        CustomerFactory.make(ledger_state=state, ledger_code=code, command_id=bytes([number]) * 32)
        for number, (state, code) in enumerate([("confirmed", None), ("rejected", 30), ("pending", None)], 1)
    ]
    for party in parties:
        PartyKey.objects.create(party=party, key_id=party.ledger_id, algorithm=1, x=b"\x01", y=b"\x02", custody=1)
    migrate(("accounts", "0003_membership_consent"))
    migrate()
    found = PartyKey.objects.order_by("pk").values_list("ledger_state", "ledger_code", "command_id")
    assert [(state, code, bytes(command or b"")) for state, code, command in found] == [
        (party.ledger_state, party.ledger_code, bytes(party.command_id or b"")) for party in parties
    ]

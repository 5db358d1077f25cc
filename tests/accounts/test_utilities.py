"""A ledger serves one utility."""

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.test import Client

from apps.accounts.choices import PartyRole
from apps.accounts.models import Party, User
from apps.accounts.services.parties import register_party
from apps.ledger.exceptions import Declined
from apps.ledger.ledgers import DEFAULT, get_ledger
from apps.ledger.models import Command
from apps.ledger.services.founding import found_ledger
from tests.factories import CustomerFactory, UtilityFactory

pytestmark = pytest.mark.django_db
FULL = "Every ledger of this installation serves a utility already: add one to LEDGERS first."


@pytest.fixture
def ledgers(settings: Any) -> None:
    settings.LEDGERS = {"second": settings.LEDGERS[DEFAULT], **settings.LEDGERS}
    get_ledger.cache_clear()
    for alias in settings.LEDGERS:
        found_ledger(alias)


def test_each_new_utility_gets_a_ledger_that_serves_none(ledgers: None) -> None:
    """The default one first."""
    first, second = (register_party(name=name, role=PartyRole.UTILITY) for name in ("first", "second"))
    assert (first.ledger, second.ledger) == (DEFAULT, "second")
    assert register_party(name="customer", utility=second).ledger == "second"
    assert set(Command.objects.values_list("stream__ledger", flat=True)) == {DEFAULT, "second"}
    with pytest.raises(Declined, match=FULL):
        register_party(name="third", role=PartyRole.UTILITY)
    assert Party.objects.count() == 3


def test_the_database_keeps_a_second_utility_from_a_ledger() -> None:
    first = UtilityFactory.make()
    CustomerFactory.make(utility=first)
    with pytest.raises(IntegrityError, match="accounts_one_utility_per_ledger"), transaction.atomic():
        UtilityFactory.make(ledger=first.ledger)


def test_the_administration_says_why(client: Client, ledgers: None) -> None:
    for alias in (DEFAULT, "second"):
        UtilityFactory.make(ledger=alias)
    client.force_login(User.objects.create_superuser("root@example.org", "a long password"))
    form = {"role": PartyRole.UTILITY, "kind": "organisation", "name": "Third", "country": "DE"}
    page = client.post("/admin/accounts/party/add/", {**form, **keys_inline()}, follow=True)
    assert FULL in page.content.decode()
    assert not Party.objects.filter(name="Third").exists()


def keys_inline() -> dict[str, str]:
    return {"keys-TOTAL_FORMS": "0", "keys-INITIAL_FORMS": "0"}


def test_a_database_in_which_utilities_share_a_ledger_is_not_migrated() -> None:
    """Whose the ledger is, a person has to say."""

    def migrate(*targets: tuple[str, str]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        executor = MigrationExecutor(connection)
        executor.migrate(targets or executor.loader.graph.leaf_nodes())

    first, second = UtilityFactory.make(name="One"), UtilityFactory.make(name="Two")
    migrate(("accounts", "0004_party_keys_on_the_ledger"))
    Party.objects.update(ledger=DEFAULT)
    with pytest.raises(ValueError, match=r"'default' serves 2 utilities \(One, Two\)"):
        migrate()
    Party.objects.filter(pk=second.pk).update(ledger=second.ledger)
    migrate()
    first.refresh_from_db()
    assert first.ledger == DEFAULT

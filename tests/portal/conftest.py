"""One market for all tests of a module: its rows are rolled back after each test, and it after the module."""

from collections.abc import Iterator

import pytest
from django.db import transaction
from django.utils import translation
from pytest_django.plugin import DjangoDbBlocker

from tests.portal.world import World, make_world


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """A page asked for in another language would leave it switched on for the tests after it."""
    with translation.override("en"):
        yield


@pytest.fixture(scope="module")
def shared_world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    with django_db_blocker.unblock():
        outer = transaction.atomic()
        # As Django's own test cases do: lets `atomic(durable=True)` run inside.
        outer._from_testcase = True  # type: ignore[attr-defined]
        with outer:
            yield make_world()
            transaction.set_rollback(True)


@pytest.fixture
def world(shared_world: World, db: None) -> World:
    return shared_world

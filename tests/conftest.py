"""Fixtures for all tests: the three people of every permission test, and the folder of real data."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from hypothesis import settings as hypothesis_settings

from apps.accounts.models import User

# The same bounded examples on every run; `make soak` looks further, and elsewhere each time.
hypothesis_settings.register_profile(
    "bounded", derandomize=True, deadline=None, max_examples=60, stateful_step_count=30
)
hypothesis_settings.register_profile("soak", deadline=None, max_examples=5_000, stateful_step_count=100)
SOAK = bool(os.environ.get("SOAK"))
hypothesis_settings.load_profile("soak" if SOAK else "bounded")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselected rather than skipped: REQUIRE would not let a test be skipped."""
    left_out = [] if SOAK else [item for item in items if item.get_closest_marker("soak")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def alice(db: None) -> User:
    """The person whom the objects of a test belong to."""
    return User.objects.create_user("alice@example.org", "alice's password", name="Alice")


@pytest.fixture
def bob(db: None) -> User:
    """A person of the same utility, who deals with alice."""
    return User.objects.create_user("bob@example.org", "bob's password", name="Bob")


@pytest.fixture
def outsider(db: None) -> User:
    """A person who has nothing to do with either of them."""
    return User.objects.create_user("outsider@example.org", "outsider's password", name="Outsider")


@pytest.fixture
def alice_client(alice: User) -> Client:
    return signed_in(alice)


@pytest.fixture
def bob_client(bob: User) -> Client:
    return signed_in(bob)


@pytest.fixture
def outsider_client(outsider: User) -> Client:
    return signed_in(outsider)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a short name that every user can pass through; pytest's own are private to us."""
    folder = Path("/tmp") / f"energymarket-test-{os.getpid()}-{time.monotonic_ns()}"
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """Folder of real data; to be used together with the marker `data`."""
    folder: Path | None = settings.SAMPLE_DATA
    if folder is None:
        pytest.skip("ENERGYMARKET_SAMPLE_DATA names no folder of real data")
    return folder

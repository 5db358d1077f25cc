"""The demonstration's market as it is generated."""

import stat
from pathlib import Path

import pytest

from apps.accounts.models import Membership, Party, User
from apps.assets.models import Plant
from apps.ledger.choices import LedgerState
from apps.ledger.ledgers import DEFAULT, get_ledger
from apps.ledger.services.founding import found_ledger
from apps.ledger.services.sweep import drain
from apps.metering.models import Device
from apps.portal.demo.exceptions import DemoError
from apps.portal.demo.market import find_market, login_password, make_market
from apps.portal.demo.street import AUDITOR, CLERK, HOMES
from evidence.keys import SoftwareKey
from tests.market import make_market as make_other_market


@pytest.mark.django_db
def test_everything_is_on_the_ledger_and_everybody_can_sign_in() -> None:
    get_ledger.cache_clear()
    found_ledger(DEFAULT)
    assert find_market() is None
    keys = {box: SoftwareKey.generate().public_key for box in {home.box for home in HOMES}}
    area = make_market(keys, "a long password")
    drain(DEFAULT)
    assert find_market() == area
    for model, count in ((Party, 7), (Plant, 3), (Device, 4)):
        assert model.objects.filter(ledger_state=LedgerState.CONFIRMED).count() == model.objects.count() == count
    assert area.points.count() == 6
    emails = {home.email for home in HOMES if home.email}
    assert set(User.objects.values_list("email", flat=True)) == emails | {CLERK, AUDITOR}
    assert all(user.check_password("a long password") for user in User.objects.all())
    assert not Membership.objects.filter(party__name="Clara Vogt").exists()


@pytest.mark.django_db
def test_a_market_of_somebody_else_is_left_alone() -> None:
    make_other_market({"alice": 0})
    with pytest.raises(DemoError, match="left alone"):
        find_market()


def test_the_password_stays_and_is_private(tmp_path: Path) -> None:
    password = login_password(tmp_path)
    assert len(password) >= 16
    assert login_password(tmp_path) == password
    assert stat.S_IMODE((tmp_path / "password").stat().st_mode) == 0o600

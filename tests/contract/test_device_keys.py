"""What a device's keys may say over time: rotations, grace, revocation."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.commands.kinds import RevokeDeviceKey, RotateDeviceKey
from evidence.hashing import ZERO
from evidence.keys import SoftwareKey
from ledger_adapters.contract import Code
from tests.vectors.contract_cases import REPORT
from tests.vectors.market import DAY, METER, NEW_METER, OLD_METER, WORLD, Market, command, ident, p256


class DeviceMarket(Market):
    """A market of which a test uses one device, whose first key is `METER`, from day to day."""

    count = 0

    def say(self, fields: RotateDeviceKey | RevokeDeviceKey, *signers: SoftwareKey) -> Code:
        self.count += 1
        return self.code(command(fields, *signers, nonce=f"device {self.count}"))

    def rotate(self, old: SoftwareKey, new: SoftwareKey, day: int, grace_days: int = 30) -> Code:
        key = new.public_key
        return self.say(RotateDeviceKey(ident("device"), key.algorithm, key.x, key.y, day, grace_days), old)

    def revoke(self, key: SoftwareKey) -> Code:
        return self.say(RevokeDeviceKey(ident("device"), key.public_key.id))

    def report(self, key: SoftwareKey, day: int) -> Code:
        self.count += 1
        return self.code(command(replace(REPORT, day=day, corrects=ZERO), key, nonce=f"report {self.count}"))


@pytest.fixture
def market() -> DeviceMarket:
    return DeviceMarket(dict(WORLD))


def test_each_key_speaks_about_its_own_days(market: DeviceMarket) -> None:
    assert market.rotate(METER, NEW_METER, DAY) is Code.APPLIED
    assert market.report(METER, DAY - 2) is Code.APPLIED
    assert market.report(NEW_METER, DAY - 3) is Code.OUTSIDE_KEY_TIME
    assert market.report(NEW_METER, DAY) is Code.APPLIED
    assert market.report(METER, DAY + 1) is Code.OUTSIDE_KEY_TIME


def test_the_old_key_is_silent_after_its_grace(market: DeviceMarket) -> None:
    assert market.rotate(METER, NEW_METER, DAY, grace_days=1) is Code.APPLIED
    market.now += 86_400
    assert market.report(METER, DAY - 2) is Code.APPLIED
    market.now += 1
    assert market.report(METER, DAY - 3) is Code.OUTSIDE_KEY_TIME


def test_a_revoked_key_neither_reports_nor_rotates(market: DeviceMarket) -> None:
    assert market.revoke(METER) is Code.APPLIED
    assert market.report(METER, DAY) is Code.KEY_REVOKED
    assert market.rotate(METER, NEW_METER, DAY) is Code.KEY_REVOKED


def test_a_revoked_key_never_comes_back(market: DeviceMarket) -> None:
    assert market.rotate(METER, NEW_METER, DAY) is Code.APPLIED
    assert market.revoke(METER) is Code.APPLIED
    assert market.rotate(NEW_METER, METER, DAY + 1) is Code.SAME_KEY
    assert market.report(METER, DAY + 1) is Code.KEY_REVOKED


def test_a_key_never_comes_back_by_way_of_another(market: DeviceMarket) -> None:
    market.rotate(METER, NEW_METER, DAY, grace_days=0)
    market.now += 1
    assert market.rotate(NEW_METER, OLD_METER, DAY + 1, grace_days=0) is Code.APPLIED
    market.now += 1
    for used in (METER, NEW_METER, OLD_METER):
        assert market.rotate(OLD_METER, used, DAY + 2) is Code.SAME_KEY


def test_a_rotated_key_does_not_speak_about_days_before_its_first(market: DeviceMarket) -> None:
    assert market.rotate(METER, NEW_METER, DAY, grace_days=0) is Code.APPLIED
    market.now += 1
    assert market.rotate(NEW_METER, OLD_METER, DAY + 1) is Code.APPLIED
    assert market.report(NEW_METER, DAY - 2) is Code.OUTSIDE_KEY_TIME
    assert market.report(NEW_METER, DAY) is Code.APPLIED


def test_the_first_key_keeps_its_grace(market: DeviceMarket) -> None:
    """A second rotation has to wait, since a device has room for one old key."""
    third = p256("third meter")
    assert market.rotate(METER, NEW_METER, DAY, grace_days=1) is Code.APPLIED
    market.now += 86_400
    assert market.rotate(NEW_METER, third, DAY + 1) is Code.GRACE_RUNNING
    assert market.report(METER, DAY - 2) is Code.APPLIED
    market.now += 1
    assert market.rotate(NEW_METER, third, DAY + 1) is Code.APPLIED


def test_a_revoked_old_key_needs_no_grace(market: DeviceMarket) -> None:
    assert market.rotate(METER, NEW_METER, DAY) is Code.APPLIED
    assert market.revoke(METER) is Code.APPLIED
    assert market.rotate(NEW_METER, p256("third meter"), DAY + 1) is Code.APPLIED
    assert market.report(METER, DAY - 2) is not Code.APPLIED


KEYS = (METER, NEW_METER, OLD_METER, p256("third meter"))
keys = st.sampled_from(KEYS)
rotations = st.tuples(keys, keys, st.integers(DAY - 1, DAY + 3), st.integers(0, 2))


@given(st.lists(st.one_of(rotations, rotations, keys, st.just(86_401)), max_size=12), st.data())
def test_whatever_happens_a_key_is_made_current_once_and_silent_once_revoked(
    steps: list[tuple[SoftwareKey, SoftwareKey, int, int] | SoftwareKey | int], data: st.DataObject
) -> None:
    market = DeviceMarket(dict(WORLD))
    been, revoked = {METER.public_key.id}, set()
    since = {METER.public_key.id: 0}
    for step in steps:
        if isinstance(step, tuple):
            old, new, day, grace_days = step
            if market.rotate(old, new, day, grace_days) is Code.APPLIED:
                assert new.public_key.id not in been and old.public_key.id not in revoked
                been.add(new.public_key.id)
                since[new.public_key.id] = day
        elif isinstance(step, SoftwareKey):
            if market.revoke(step) is Code.APPLIED:
                revoked.add(step.public_key.id)
        else:
            market.now += step
    for key in KEYS:
        day = data.draw(st.integers(DAY - 5, DAY + 5))
        if market.report(key, day) in (Code.APPLIED, Code.ALREADY_REPORTED):
            assert key.public_key.id in been - revoked
            assert day >= since[key.public_key.id]

"""What a device's keys may say over time: rotations, grace, revocation."""

from dataclasses import replace

import pytest

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


@pytest.mark.xfail(strict=True, reason="a revoked key that is rotated in again is accepted: revocation is forgotten")
def test_a_revoked_key_never_comes_back(market: DeviceMarket) -> None:
    assert market.rotate(METER, NEW_METER, DAY) is Code.APPLIED
    assert market.revoke(METER) is Code.APPLIED
    market.rotate(NEW_METER, METER, DAY + 1)
    assert market.report(METER, DAY + 1) is not Code.APPLIED


@pytest.mark.xfail(strict=True, reason="the first day of a key is forgotten when it is rotated out")
def test_a_rotated_key_does_not_speak_about_days_before_its_first(market: DeviceMarket) -> None:
    assert market.rotate(METER, NEW_METER, DAY) is Code.APPLIED
    assert market.rotate(NEW_METER, OLD_METER, DAY + 1) is Code.APPLIED
    assert market.report(NEW_METER, DAY - 2) is Code.OUTSIDE_KEY_TIME


@pytest.mark.xfail(strict=True, reason="a second rotation ends the grace of the first key early")
def test_the_first_key_keeps_its_grace_when_the_second_is_rotated(market: DeviceMarket) -> None:
    assert market.rotate(METER, NEW_METER, DAY) is Code.APPLIED
    assert market.rotate(NEW_METER, p256("third meter"), DAY + 1) is Code.APPLIED
    assert market.report(METER, DAY - 2) is Code.APPLIED

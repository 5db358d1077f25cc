"""A device hands over to a new key: on the ledger, in the rows that follow it, and for the batches of both keys."""

import datetime as dt
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Party
from apps.assets.models import MeteringPoint
from apps.assets.services import reading_secret
from apps.billing.models import Invoice
from apps.billing.services.bundles import evidence_bundle
from apps.billing.services.invoices import bill_area
from apps.ledger.ledgers import DEFAULT, get_ledger
from apps.ledger.models import Command as Queued
from apps.ledger.services.founding import trust_anchors
from apps.ledger.services.reconcile import audit
from apps.ledger.services.sweep import drain
from apps.metering.models import Anchor, Batch, Device, DeviceKey
from apps.metering.services.anchors import anchor_batches
from apps.metering.services.devices import register_device, revoke_all, revoke_key
from apps.settlement.services.settle import settle_day
from evidence.bundle import EmbeddedLog, load
from evidence.canonical import encode_bytes
from evidence.commands import Command
from evidence.commands.kinds import RevokeDeviceKey, RotateDeviceKey
from evidence.hashing import tagged
from evidence.keys import SoftwareKey
from evidence.readings import Reading, Register
from evidence.verify import verify
from market_math.slots import day_number, day_slots
from meter_agent.uplink import signed_body
from tests.market import Market, make_market
from tests.metering.head_end import assert_refused
from tests.metering.head_end import post as post_batch

URL = "/api/v1/key-rotations"
TODAY = dt.date(2026, 6, 10)


@dataclass
class World:
    market: Market
    device: Device
    key: SoftwareKey
    sequence: int = 0
    made: list[Command] = field(default_factory=list)

    @property
    def point(self) -> MeteringPoint:
        return self.market.points["alice"]

    def rotation(
        self, new: SoftwareKey, *, day: dt.date = TODAY, grace: int = 30, by: SoftwareKey | None = None
    ) -> str:
        key, ledger = new.public_key, get_ledger(DEFAULT).genesis()
        fields = RotateDeviceKey(bytes(self.device.ledger_id), key.algorithm, key.x, key.y, day_number(day), grace)
        command = Command(ledger.market, tagged("em/test/1", key.id), fields).signed_by(ledger.ledger, by or self.key)
        return encode_bytes(command.envelope.encode())

    def rotate(self, new: SoftwareKey, **how: Any) -> Any:
        response = post(self.rotation(new, **how))
        drain(DEFAULT)
        return response

    def batch(self, key: SoftwareKey, day: dt.date) -> Any:
        self.sequence += 1
        slots = day_slots(day, self.market.area.zone, 15)
        readings = [Reading(bytes(self.point.ledger_id), Register.CONSUMPTION, slot, 100) for slot in slots]
        secrets = {bytes(self.point.ledger_id): reading_secret(self.point.occupancies.get())}
        device = bytes(self.device.ledger_id)
        return post_batch(signed_body(device, key, secrets, self.sequence, 900, readings))


def post(envelope: str) -> Any:
    return Client(raise_request_exception=True).post(URL, {"envelope": envelope}, content_type="application/json")


@pytest.fixture
def world(db: None) -> World:
    market = make_market({"alice": 0})
    key = SoftwareKey.generate()
    owner = Party.objects.get(pk=market.utility.pk)
    device = register_device(
        area=market.area, owner=owner, name="box", key=key.public_key, points=[market.points["alice"]]
    )
    drain(DEFAULT)
    return World(market, device, key)


def test_the_rows_follow_the_ledger(world: World) -> None:
    new = SoftwareKey.generate()
    response = world.rotate(new)
    assert (response.status_code, response.json()["state"]) == (202, "queued")
    old, current = world.device.keys.order_by("pk")
    rotated = Queued.objects.get(kind=RotateDeviceKey.KIND)
    assert (current.public_key, current.since_day, current.grace_until) == (new.public_key, TODAY, None)
    assert bytes(current.rotation_id or b"") == bytes(rotated.command_id)
    assert old.public_key == world.key.public_key
    assert old.grace_until == dt.datetime.fromtimestamp(rotated.ledger_time or 0, dt.UTC) + dt.timedelta(days=30)
    assert audit(DEFAULT) == []
    again = post(world.rotation(new))
    assert again.json() == {**response.json(), "state": "confirmed", "code": "0"}


def test_only_the_key_that_stands_hands_over(world: World) -> None:
    stranger, new = SoftwareKey.generate(), SoftwareKey.generate()
    assert_refused(post(world.rotation(new, by=stranger)), 422, "envelope", "wrong_signer")
    assert_refused(post(world.rotation(new, by=new)), 422, "envelope", "wrong_signer")
    assert_refused(post(world.rotation(new, grace=401)), 422, "envelope", "declined")
    late = world.market.area.today + dt.timedelta(days=60)
    assert_refused(post(world.rotation(new, day=late)), 422, "envelope", "declined")
    world.rotate(new)
    assert_refused(post(world.rotation(SoftwareKey.generate())), 422, "envelope", "wrong_signer")
    assert_refused(post(world.rotation(SoftwareKey.generate(), by=new)), 422, "envelope", "grace_running")
    assert world.device.keys.count() == 2


def test_another_kind_of_command_is_not_taken_here(world: World) -> None:
    response = Client().post(URL, {"envelope": "AA"}, content_type="application/json")
    assert_refused(response, 400, "envelope", "format")
    response = Client().post(
        "/api/v1/daily-reports", {"envelope": world.rotation(SoftwareKey.generate())}, content_type="application/json"
    )
    assert_refused(response, 400, "envelope", "format")


def test_each_key_speaks_about_its_own_days(world: World) -> None:
    new = SoftwareKey.generate()
    world.rotate(new)
    before = TODAY - dt.timedelta(days=1)
    assert world.batch(world.key, before).status_code == 200
    assert_refused(world.batch(world.key, TODAY), 403, "statement.key", "outside_key_time")
    assert world.batch(new, TODAY).status_code == 200
    # What the box had read but not signed before it got its new key.
    assert world.batch(new, before).status_code == 200


def test_an_exchanged_key_is_not_accepted_after_its_grace(world: World) -> None:
    world.rotate(SoftwareKey.generate())
    DeviceKey.objects.exclude(grace_until=None).update(grace_until=timezone.now() - dt.timedelta(seconds=1))
    refused = world.batch(world.key, TODAY - dt.timedelta(days=1))
    assert_refused(refused, 403, "statement.key", "exchanged_key")


def test_an_old_key_can_be_revoked_while_the_new_one_stands(world: World) -> None:
    new = SoftwareKey.generate()
    world.rotate(new)
    revoke_key(world.device.keys.order_by("pk")[0])
    drain(DEFAULT)
    assert audit(DEFAULT) == []
    before = TODAY - dt.timedelta(days=1)
    assert_refused(world.batch(world.key, before), 403, "statement.key", "revoked_key")
    assert world.batch(new, before).status_code == 200


def test_everything_is_revoked_of_a_device_that_rotated_twice(world: World) -> None:
    """Of the three keys the ledger remembers two."""
    second, third = SoftwareKey.generate(), SoftwareKey.generate()
    world.rotate(second, grace=0)
    time.sleep(1.1)  # the ledger counts whole seconds
    assert world.rotate(third, by=second).status_code == 202
    assert world.device.keys.count() == 3
    revoke_all(world.device)
    drain(DEFAULT)
    assert not world.device.keys.filter(revoked_at=None).exists()
    assert audit(DEFAULT) == []


def test_an_invoice_over_both_keys_is_verified_offline(world: World) -> None:
    """A day signed with each key, and a revocation after both were anchored."""
    new, before = SoftwareKey.generate(), TODAY - dt.timedelta(days=1)
    assert world.batch(world.key, before).status_code == 200
    world.rotate(new)
    assert world.batch(new, TODAY).status_code == 200
    anchor_batches(world.market.area)
    drain(DEFAULT)
    for day in (before, TODAY):
        settle_day(world.market.area, day)
        drain(DEFAULT)
    revoke_all(world.device)
    drain(DEFAULT)
    bill_area(world.market.area, before, TODAY + dt.timedelta(days=1))
    drain(DEFAULT)
    bundle, trust = evidence_bundle(Invoice.objects.get()), trust_anchors(DEFAULT)
    shown = load(bundle)
    signed = {batch.statement.key for batch in shown.batches}
    assert signed == {world.key.public_key.id, new.public_key.id}
    assert isinstance(shown.log, EmbeddedLog)
    kinds = [type(Command.from_bytes(each.envelope).fields) for each in shown.log.commands]
    assert (kinds.count(RotateDeviceKey), kinds.count(RevokeDeviceKey)) == (1, 2)
    assert [check.name for check in verify(bundle, trust).checks].count("readings") == 1


def test_what_was_signed_with_a_key_that_is_revoked_by_now_is_not_anchored(world: World) -> None:
    assert world.batch(world.key, TODAY).status_code == 200
    assert anchor_batches(world.market.area)
    drain(DEFAULT)
    assert world.batch(world.key, TODAY - dt.timedelta(days=1)).status_code == 200
    revoke_all(world.device)
    assert anchor_batches(world.market.area) == []
    assert (Anchor.objects.count(), Batch.objects.filter(anchor=None).count()) == (1, 1)

"""The self-check of a market day finds what was changed behind its back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.assets.services import reading_secret
from apps.billing.services.invoices import bill_area
from apps.ledger.ledgers import DEFAULT
from apps.ledger.services.sweep import drain
from apps.metering.choices import SETTLED
from apps.metering.models import DailyReport
from apps.metering.readings import grids as grids_of
from apps.metering.services.batches import accept_batch
from apps.metering.services.devices import register_device
from apps.portal.demo.agents import Sent
from apps.portal.demo.checks import Findings, check_day
from evidence.keys import SoftwareKey
from evidence.readings import Reading, Register, Statement, Unit, batch_root
from market_math.slots import day_slots
from tests.market import Market
from tests.spine.test_invoices import DAY, NEXT, settled_market

pytestmark = pytest.mark.django_db

CORRUPTIONS = {
    "a reading": "UPDATE metering_reading SET value = value + 1 WHERE slot = (SELECT min(slot) FROM metering_reading)",
    "a missing reading": "DELETE FROM metering_reading WHERE slot = (SELECT max(slot) FROM metering_reading)",
    "an allocation": "UPDATE settlement_allocation SET allocated = allocated + 1 WHERE scheme = 5",
    "a missing allocation": "DELETE FROM settlement_allocation WHERE scheme = 9",
    "a settled total": "UPDATE settlement_settlement SET slots = slots + 1",
    "an invoice's total": "UPDATE billing_invoice SET total_minor = total_minor + 1",
    "an invoice's document": "UPDATE billing_invoice SET salt = sha256(salt)",
    "a missing invoice": "DELETE FROM billing_invoice_settlements; DELETE FROM billing_invoice",
    "a command": "UPDATE ledger_command SET state = 'queued' WHERE position = 1",
    "a parked stream": "UPDATE ledger_stream SET parked_by_id = (SELECT min(id) FROM ledger_command)",
    "an event": "UPDATE ledger_event SET code = 1 WHERE position = 0",
}


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def billed_market() -> Market:
    market = settled_market()
    bill_area(market.area, DAY, NEXT)
    drain(DEFAULT)
    return market


def execute(statements: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for statement in statements.split(";"):
            cursor.execute(statement)


def test_every_change_is_found(tmp_path: Path) -> None:
    market = billed_market()

    def check() -> Findings:
        return check_day(market.area, DAY, {}, tmp_path)

    findings = check()
    assert findings.failures == []
    assert findings.evidence == {2: findings.produced_wh + findings.consumed_wh}
    assert findings.summary(1.23)["ok"]
    for what, statements in CORRUPTIONS.items():
        with undone():
            execute(statements)
            found = check()
        assert found.failures, what
        assert not found.summary(0)["ok"], what
    assert check().failures == []


def test_what_an_agent_sent_is_what_is_stored(tmp_path: Path) -> None:
    market = billed_market()
    alice, key = market.points["alice"], SoftwareKey.generate()
    device = register_device(area=market.area, owner=alice.party, name="Box", key=key.public_key, points=[alice])
    drain(DEFAULT)
    slot = day_slots(NEXT, market.area.zone, market.area.slot_minutes).start
    readings = [Reading(bytes(alice.ledger_id), Register.CONSUMPTION, slot, 17)]
    root = batch_root(readings, {bytes(alice.ledger_id): reading_secret(alice.occupancies.get())})
    statement = Statement(
        bytes(device.ledger_id), key.public_key.id, 1, slot, slot + market.area.slot_seconds, Unit.WH, 1, root
    )
    accept_batch(statement, key.sign(statement.digest), readings)

    def failures(*, key: SoftwareKey = key, last: int = 1, waiting: int = 0, refused: int = 0) -> list[str]:
        sent = {bytes(device.ledger_id): Sent(key.public_key, last, waiting, refused)}
        return check_day(market.area, DAY, sent, tmp_path).failures

    assert failures() == [f"Box: no total of {DAY} on the ledger"]
    slots = day_slots(DAY, market.area.zone, market.area.slot_minutes)
    grids = grids_of(market.area.pk, [alice.pk], slots, SETTLED)
    consumed, generated = (int(grids[register].value.sum()) for register in SETTLED)
    report = DailyReport.objects.create(
        device=device,
        day=DAY,
        generated=generated,
        imported=consumed,
        exported=generated,
        command_id=bytes(32),
        reported_at=timezone.now(),
    )
    assert failures() == []
    DailyReport.objects.update(generated=generated + 1)
    assert failures() == [f"Box: {generated + 1} Wh reported, {generated} Wh read"]
    DailyReport.objects.update(generated=generated, imported=consumed + 3)
    assert failures() == [f"Box: {consumed + 3} Wh of consumption reported, {consumed} Wh read"]
    report.save()
    assert "Box: sent batches 1 to 2, stored [1]" in failures(last=2)
    assert "Box: 3 readings were not sent" in failures(waiting=3)
    assert "Box: 1 batches were refused" in failures(refused=1)
    assert "Box: batch 1 is not signed by the agent's key" in failures(key=SoftwareKey.generate())
    with undone():
        execute("UPDATE metering_reading SET value = 18 WHERE value = 17")
        assert "Box: batch 1 is not stored as it was sent" in failures()

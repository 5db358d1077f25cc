"""Checks a settled day without the code that made it: plain sums over the tables, the verifier as a program of its own.

Everything that does not add up becomes a sentence in `failures`; nothing is repaired.
"""

import datetime as dt
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from apps.assets.models import MarketArea
from apps.assets.services import reading_secret
from apps.billing import documents
from apps.billing.exceptions import BillingError
from apps.billing.models import DocumentKind, Invoice
from apps.billing.services.bundles import evidence_bundle
from apps.ledger.choices import CommandState, LedgerState
from apps.ledger.ledgers import get_ledger
from apps.ledger.models import Command, Event, Stream
from apps.ledger.services.founding import trust_anchors
from apps.metering.choices import SETTLED
from apps.metering.models import Device
from apps.portal.demo.agents import Sent
from apps.settlement.models import Settlement
from evidence import merkle
from evidence.checkpoint import CheckpointError, open_note, origin
from evidence.journal import Entry, envelope_digest
from evidence.readings import Reading, Register, batch_root
from evidence.settlement import Scheme
from evidence.trust import EmbeddedTrust
from ledger_adapters import base
from ledger_adapters.base import LedgerAdapter, LogProof

_READINGS = """
SELECT DISTINCT ON (point, register, slot) point, register, slot, value FROM metering_reading
WHERE area = %s AND register IN (1, 2) AND version >= 0 AND slot >= %s AND slot < %s
ORDER BY point, register, slot, version DESC
"""
_ALLOCATIONS = "SELECT slot, plant, point, scheme, allocated FROM settlement_allocation WHERE settlement = %s"
_OF_BATCH = "SELECT point, register, slot, value, quality FROM metering_reading WHERE batch = %s"
_GRADE = re.compile(r"^grade (\d+) \(.*\): (\d+) Wh$", re.MULTILINE)
MOST_NAMED = 5

# (metering point or plant, slot) → Wh
Energy = Counter[tuple[int, int]]


@dataclass
class Findings:
    """What a day came to, and what does not add up. Energies in Wh; `evidence` by grade, each reading once."""

    failures: list[str] = field(default_factory=list)
    slots: int = 0
    produced_wh: int = 0
    allocated_wh: int = 0
    fed_in_wh: int = 0
    consumed_wh: int = 0
    supplied_wh: int = 0
    invoices: int = 0
    commands_confirmed: int = 0
    evidence: Counter[int] = field(default_factory=Counter)

    def expect(self, holds: bool, failure: str) -> None:
        if not holds:
            self.failures.append(failure)

    def expect_equal(self, what: str, one: Mapping[Any, int], other: Mapping[Any, int]) -> None:
        wrong = [key for key in {**one, **other} if one.get(key, 0) != other.get(key, 0)]
        for key in wrong[:MOST_NAMED]:
            self.failures.append(f"{what} {key}: {one.get(key, 0)} Wh against {other.get(key, 0)} Wh")
        if len(wrong) > MOST_NAMED:
            self.failures.append(f"{what}: and {len(wrong) - MOST_NAMED} more")

    def summary(self, seconds: float) -> dict[str, Any]:
        """What `demo --once` prints."""
        found: dict[str, Any] = {
            "ok": not self.failures,
            "slots": self.slots,
            "produced_wh": self.produced_wh,
            "allocated_wh": self.allocated_wh,
            "fed_in_wh": self.fed_in_wh,
            "consumed_wh": self.consumed_wh,
            "supplied_wh": self.supplied_wh,
            "invoices": self.invoices,
            "commands_confirmed": self.commands_confirmed,
            "evidence_verified": {str(grade): wh for grade, wh in sorted(self.evidence.items())},
            "evidence_unit": "Wh",
            "seconds": round(seconds, 1),
        }
        return found | {"failures": self.failures} if self.failures else found


def check_day(area: MarketArea, day: dt.date, sent: Mapping[bytes, Sent], folder: Path) -> Findings:
    """`sent`: what each agent says that it sent, by its device's ledger id. Bundles are written into `folder`."""
    findings = Findings()
    readings = _check_energy(findings, area, day)
    for device, by_agent in sent.items():
        _check_agent(findings, area.devices.get(ledger_id=device), by_agent)
        _check_report(findings, area.devices.get(ledger_id=device), day)
    _check_documents(findings, area, day, readings, folder)
    _check_ledger(findings, area.utility.ledger)
    return findings


# Energy


def _check_energy(findings: Findings, area: MarketArea, day: dt.date) -> Counter[int]:
    """Check the day's slots and sums; gives the Wh of all readings of each metering point."""
    midnights = [dt.datetime.combine(day + dt.timedelta(days=n), dt.time(), area.zone) for n in (0, 1)]
    start, end = (int(midnight.timestamp()) for midnight in midnights)
    used, made, total, kept = Energy(), Energy(), Counter[int](), Counter[tuple[int, int]]()
    for point, register, slot, value in _rows(_READINGS, area.pk, start, end):
        (used if register == Register.CONSUMPTION else made)[point, slot] += value
        total[point] += value
        kept[point, register] += 1
    findings.slots = (end - start) // area.slot_seconds
    for point in area.points.select_related("plant"):
        for register in SETTLED if hasattr(point, "plant") else [Register.CONSUMPTION]:
            count = kept[point.pk, register]
            name = register.name.lower()
            findings.expect(count == findings.slots, f"{point}: {count} of {findings.slots} slots of {name}")
    findings.produced_wh, findings.consumed_wh = made.total(), used.total()
    _check_settlement(findings, area, day, used, made)
    return total


def _check_settlement(findings: Findings, area: MarketArea, day: dt.date, used: Energy, made: Energy) -> None:
    """Every reading of the day went somewhere, to the Wh, and the recorded totals are those of the rows."""
    found = Settlement.objects.filter(area=area, day=day, ledger_state=LedgerState.CONFIRMED)
    settlement = found.order_by("-version").first()
    if settlement is None:
        findings.failures.append(f"{day} is not settled")
        return
    site = dict(area.plants.values_list("pk", "point_id"))
    taken, given, by_scheme = Energy(), Energy(), Counter[int]()
    for slot, plant, point, scheme, allocated in _rows(_ALLOCATIONS, settlement.pk):
        by_scheme[scheme] += allocated
        if scheme in (Scheme.OWN_USE, Scheme.PURCHASE, Scheme.SUPPLY):
            taken[point, slot] += allocated
        if scheme in (Scheme.OWN_USE, Scheme.PURCHASE, Scheme.FEED_IN):
            given[site[plant], slot] += allocated
        findings.expect(allocated >= 0, f"an allocation of {allocated} Wh")
    findings.expect_equal("consumed against allocated and supplied, at (metering point, slot)", used, taken)
    findings.expect_equal("produced against allocated and fed in, at (metering point, slot)", made, given)
    findings.allocated_wh = by_scheme[Scheme.OWN_USE] + by_scheme[Scheme.PURCHASE]
    findings.fed_in_wh, findings.supplied_wh = by_scheme[Scheme.FEED_IN], by_scheme[Scheme.SUPPLY]
    findings.expect(settlement.slots == findings.slots, f"settled {settlement.slots} of {findings.slots} slots")
    for name in ("produced_wh", "consumed_wh", "allocated_wh", "fed_in_wh", "supplied_wh"):
        computed, recorded = getattr(findings, name), getattr(settlement, name)
        findings.expect(computed == recorded, f"{name}: {computed} computed, {recorded} recorded")


# What agents sent


def _check_agent(findings: Findings, device: Device, sent: Sent) -> None:
    """Everything that the agent sent is stored as its own key signed it, and nothing else."""
    findings.expect(sent.waiting == 0, f"{device}: {sent.waiting} readings were not sent")
    findings.expect(sent.refused == 0, f"{device}: {sent.refused} batches were refused")
    batches = list(device.batches.order_by("sequence"))
    sequences = [batch.sequence for batch in batches]
    expected = list(range(1, sent.last_sequence + 1))
    findings.expect(sequences == expected, f"{device}: sent batches 1 to {sent.last_sequence}, stored {sequences}")
    points = {point.pk: point for point in device.points.all()}
    secrets = {bytes(point.ledger_id): reading_secret(point.occupancies.get(until=None)) for point in points.values()}
    for batch in batches:
        signed = sent.key.verifies(batch.statement.digest, bytes(batch.signature))
        findings.expect(signed, f"{device}: batch {batch.sequence} is not signed by the agent's key")
        rows = _rows(_OF_BATCH, batch.pk)
        stored = [Reading(bytes(points[point].ledger_id), *rest) for point, *rest in rows if point in points]
        root = batch_root(sorted(stored, key=lambda reading: reading.leaf_id), secrets)
        same = root == bytes(batch.root) and len(rows) == batch.count
        findings.expect(same, f"{device}: batch {batch.sequence} is not stored as it was sent")


def _check_report(findings: Findings, device: Device, day: dt.date) -> None:
    """What the box itself reported on the ledger is what its readings come to."""
    stands = device.daily_reports.filter(day=day).first()
    if stands is None:
        findings.failures.append(f"{device}: no total of {day} on the ledger")
        return
    midnights = [dt.datetime.combine(day + dt.timedelta(days=n), dt.time(), device.area.zone) for n in (0, 1)]
    start, end = (int(midnight.timestamp()) for midnight in midnights)
    points = set(device.points.values_list("pk", flat=True))
    sums = Counter[int]()
    for point, register, _, value in _rows(_READINGS, device.area_id, start, end):
        if point in points:
            sums[register] += value
    generated, consumed = sums[Register.GENERATION], sums[Register.CONSUMPTION]
    findings.expect(stands.generated == generated, f"{device}: {stands.generated} Wh reported, {generated} Wh read")
    # Each register is rounded for itself.
    own = stands.generated - stands.exported + stands.imported
    near = abs(own - consumed) <= 2 * len(points)
    findings.expect(near, f"{device}: {own} Wh of consumption reported, {consumed} Wh read")


# Documents


def _check_documents(
    findings: Findings, area: MarketArea, day: dt.date, readings: Mapping[int, int], folder: Path
) -> None:
    """Each document's bundle is verified by the verifier, as a stranger would run it, with anchors from a file."""
    invoices = list(Invoice.objects.filter(area=area, start=day).select_related("series", "point"))
    findings.invoices = len(invoices)
    billed = {invoice.point_id for invoice in invoices if invoice.kind == DocumentKind.INVOICE}
    for point in area.points.exclude(pk__in=billed):
        findings.failures.append(f"{point} has no invoice for {day}")
    trust = folder / "anchors.json"
    trust.write_bytes(trust_anchors(area.utility.ledger))
    bundles = {invoice: folder / f"{invoice}.json" for invoice in invoices}
    ready = [invoice for invoice in invoices if _write_bundle(findings, invoice, bundles[invoice])]
    with ThreadPoolExecutor(os.cpu_count()) as verifiers:
        outputs = list(verifiers.map(lambda invoice: run_verifier(bundles[invoice], trust), ready))
    counted: set[int] = set()
    for invoice, (code, output) in zip(ready, outputs, strict=True):
        findings.expect(code == 0, f"{invoice}: {output.strip()}")
        grades = {int(grade): int(wh) for grade, wh in _GRADE.findall(output)}
        verified, stored = sum(grades.values()), readings.get(invoice.point_id, 0)
        findings.expect(verified == stored, f"{invoice}: {verified} Wh verified, {stored} Wh stored")
        if invoice.point_id not in counted:
            counted.add(invoice.point_id)
            findings.evidence.update(grades)
        total = documents.read(invoice)["total_minor"]
        findings.expect(total == str(invoice.total_minor), f"{invoice}: its document says {total}")


def _write_bundle(findings: Findings, invoice: Invoice, path: Path) -> bool:
    try:
        path.write_bytes(evidence_bundle(invoice))
    except (BillingError, KeyError) as error:
        findings.failures.append(f"{invoice}: no evidence: {error}")
        return False
    return True


def run_verifier(bundle: Path, trust: Path) -> tuple[int, str]:
    """Exit code and output of `energymarket-verify`."""
    command = [sys.executable, "-m", "evidence.verify", str(bundle), "--trust", str(trust)]
    finished = subprocess.run(  # noqa: S603 our own program
        command, cwd=settings.BASE_DIR, capture_output=True, text=True
    )
    return finished.returncode, finished.stdout + finished.stderr


# The ledger


def _check_ledger(findings: Findings, alias: str) -> None:
    """Every command confirmed, nothing parked, and what was heard is what the ledger has."""
    commands = Command.objects.filter(stream__ledger=alias)
    findings.commands_confirmed = commands.filter(state=CommandState.CONFIRMED).count()
    for command in commands.exclude(state=CommandState.CONFIRMED):
        findings.failures.append(f"command {command} is {command.get_state_display()}")
    for stream in Stream.objects.filter(ledger=alias).exclude(parked_by=None):
        findings.failures.append(f"stream {stream} is parked by command {stream.parked_by}")
    ledger = get_ledger(alias)
    journal = [event for page in ledger.pages() for event in page.events]
    if isinstance(trust := ledger.trust(), EmbeddedTrust):
        _check_log(findings, ledger, trust, journal)
    events = Event.objects.filter(ledger=alias).order_by("position")
    heard = [(event.position, bytes(event.command_id), event.code, bytes(event.envelope)) for event in events]
    told = [(event.position, event.outcome.id, event.outcome.code, event.outcome.envelope) for event in journal]
    findings.expect(heard == told, "ledger: the entries that were heard are not those of the ledger")


def _check_log(findings: Findings, ledger: LedgerAdapter, trust: EmbeddedTrust, journal: Sequence[base.Event]) -> None:
    """The entries of an embedded ledger are those of the log that its key signs."""
    applied = [event.outcome.id for event in journal if event.outcome.code.is_success]
    proof = ledger.prove(applied[-1:])
    if not isinstance(proof, LogProof):
        raise TypeError(f"an embedded ledger proves by its log, not by {proof!r}")
    try:
        checkpoint = open_note(proof.checkpoint, origin(trust.ledger), trust.checkpoint_key)
    except CheckpointError as error:
        findings.failures.append(f"ledger: {error}")
        return
    leaves = []
    for position, event in enumerate(journal[: checkpoint.size]):
        outcome = event.outcome
        entry = Entry(position, outcome.time, outcome.code, outcome.id, envelope_digest(outcome.envelope))
        leaves.append(entry.leaf_hash)
    signed = len(leaves) == checkpoint.size and merkle.root_of_hashes(leaves) == checkpoint.root
    findings.expect(signed, "ledger: the entries are not those of the signed log")


def _rows(query: str, *parameters: int) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return list(cursor.fetchall())

"""Bring in readings that no meter signed: the operator who imports them signs instead."""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from apps.accounts.models import Party
from apps.accounts.services.parties import signer_of
from apps.assets.models import MarketArea, MeteringPoint
from apps.metering import readings
from apps.metering.choices import Grade
from apps.metering.exceptions import BatchRefused, Violation
from apps.metering.models import Batch, Decision, ReadingImport
from apps.metering.services.batches import check_content, check_window, secrets_of, store_batch
from evidence.keys import SoftwareKey
from evidence.readings import Quality, Reading, Register, Statement, batch_root
from market_math.slots import local_day

# Wh by slot (UTC seconds), by register.
Series = Mapping[int, Mapping[int, int]]


def import_series(
    area: MarketArea,
    importer: Party,
    series: Mapping[MeteringPoint, Series],
    *,
    informs: bool = False,
    brought_by: ReadingImport | None = None,
) -> int:
    """Store energies of metering points, signed by `importer`, a batch per point, local day and unit; returns how many.

    With `informs`, they are only to inform. All or nothing: raises `BatchRefused`, naming the reading and the rule.
    """
    days = _days(area, series)
    if not days:
        return 0
    _prepare_partitions(area, series)
    key = signer_of(importer)
    with transaction.atomic():
        Party.objects.select_for_update().get(pk=importer.pk)
        sequence = _last_sequence(importer)
        for number, (point, day, content) in enumerate(days, sequence + 1):
            signed = _Signed(area, importer, key, number, Grade.OPERATOR_SIGNED, None, informs, brought_by)
            _store(signed, point, day, content)
    return len(days)


def _days(
    area: MarketArea, series: Mapping[MeteringPoint, Series]
) -> list[tuple[MeteringPoint, dt.date, list[Reading]]]:
    """Readings by metering point, local day and unit, in ascending order of their leaves."""
    days = []
    # In one order for everybody: whoever stores for the same points waits for their locks, and nobody for each other.
    for point, registers in sorted(series.items(), key=lambda item: item[0].pk):
        by_day: dict[tuple[dt.date, int], list[Reading]] = defaultdict(list)
        for register, values in sorted(registers.items()):
            unit = Register(register).unit
            for slot, value in sorted(values.items()):
                reading = Reading(bytes(point.ledger_id), register, slot, value)
                by_day[local_day(slot, area.zone), unit].append(reading)
        days += [(point, day, content) for (day, _unit), content in sorted(by_day.items())]
    return days


def _prepare_partitions(area: MarketArea, series: Mapping[MeteringPoint, Series]) -> None:
    slots = [slot for registers in series.values() for values in registers.values() for slot in values]
    readings.prepare_partitions(min(slots), max(slots) + area.slot_seconds)


def _last_sequence(importer: Party) -> int:
    return Batch.objects.filter(signer=importer.ledger_id).aggregate(last=Max("sequence"))["last"] or 0


@dataclass(frozen=True, slots=True)
class _Signed:
    """Under what a batch is signed and kept."""

    area: MarketArea
    importer: Party
    key: SoftwareKey
    sequence: int
    grade: Grade
    decision: Decision | None
    informs: bool
    brought_by: ReadingImport | None


def _store(signed: _Signed, point: MeteringPoint, day: dt.date, content: list[Reading]) -> None:
    area, importer, key = signed.area, signed.importer, signed.key
    secrets = secrets_of([point], day)
    if bytes(point.ledger_id) not in secrets:
        message = _("Nobody occupied %(point)s on %(day)s, or the secret of its readings was erased.")
        raise BatchRefused(Violation("readings", "no_occupant", message % {"point": point.code, "day": day}))
    slots = [reading.slot for reading in content]
    statement = Statement(
        bytes(importer.ledger_id),
        key.public_key.id,
        signed.sequence,
        min(slots),
        max(slots) + area.slot_seconds,
        Register(content[0].register).unit,
        len(content),
        batch_root(content, secrets),
    )
    check_window(area, statement)
    check_content(area, statement, content, {bytes(point.ledger_id): point})
    rows = [readings.Row(point.pk, r.register, r.slot, r.value, r.quality) for r in content]
    store_batch(
        statement,
        key.sign(statement.digest),
        area=area,
        day=day,
        grade=signed.grade,
        rows=rows,
        importer_id=importer.pk,
        decision=signed.decision,
        backup=[True] * len(rows) if signed.informs else None,
        brought_by=signed.brought_by,
    )


def store_substitutes(
    area: MarketArea,
    decider: Party,
    series: Mapping[MeteringPoint, Series],
    decision: Decision | None = None,
    *,
    informs: bool = False,
    brought_by: ReadingImport | None = None,
) -> int:
    """Store substitute values that `decider` answers for; returns how many batches."""
    days = _days(area, series)
    if not days:
        return 0
    _prepare_partitions(area, series)
    key = signer_of(decider)
    with transaction.atomic():
        Party.objects.select_for_update().get(pk=decider.pk)
        sequence = _last_sequence(decider)
        for number, (point, day, content) in enumerate(days, sequence + 1):
            marked = [Reading(r.point, r.register, r.slot, r.value, Quality.SUBSTITUTE) for r in content]
            signed = _Signed(area, decider, key, number, Grade.SUBSTITUTE, decision, informs, brought_by)
            _store(signed, point, day, marked)
    return len(days)

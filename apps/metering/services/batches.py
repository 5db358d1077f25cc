"""Accept a signed batch of readings: every check that can be made without trusting the sender, then store it whole."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Greatest
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.custody import open_secret
from apps.assets.models import MarketArea, MeteringPoint, Occupancy
from apps.metering import live, readings
from apps.metering.choices import Grade
from apps.metering.exceptions import BatchRefused, Violation
from apps.metering.measuring import check_measured
from apps.metering.models import Batch, Decision, Device, DeviceKey, ReadingImport
from apps.metering.services.devices import signing_key
from evidence.readings import Quality, Reading, Register, Statement, Unit, batch_root
from market_math.slots import local_day

REGISTERS = frozenset(Register)
QUALITIES = frozenset(Quality)
# What is asked of a device's measurements: a box with many points should not bring all that is known of them.
MEASURED = ("device", "registers", "since", "until", "is_backup", "point__ledger_id", "point__plant__power_w")
MOST_READINGS = 10_000
# Of a large site's connection to the grid, in W or var.
MOST_SITE_W = 100_000_000
MOST_GENERATION_PERCENT = 150
# What a site may give to the grid from sources that nobody registers, such as a panel on a balcony.
MOST_UNREGISTERED_W = 5_000
NOT_RISING = "sequence_not_rising"


@dataclass(frozen=True, slots=True)
class Accepted:
    """`is_new` is false for a batch that was stored before."""

    batch: Batch
    is_new: bool


def accept_batch(statement: Statement, signature: bytes, content: Sequence[Reading]) -> Accepted:
    """Store a device's batch. Raises `InputRefused`, naming field and rule, and then nothing of it is stored."""
    key = signing_key(statement, signature, "statement")
    try:
        return _accept(key, statement, signature, content)
    except BatchRefused as refused:
        rule = refused.violations[0].rule
        # A box whose journal is new goes on by itself with later numbers.
        if rule != NOT_RISING:
            Device.objects.filter(pk=key.device_id).update(refused_at=timezone.now(), refused_rule=rule)
        raise


def _accept(key: DeviceKey, statement: Statement, signature: bytes, content: Sequence[Reading]) -> Accepted:
    device = key.device
    known = _known(device, statement, content)
    if known is not None:
        return Accepted(known, is_new=False)
    day = check_window(device.area, statement)
    _check_key_time(key, day)
    readings.prepare_partitions(statement.start, statement.end)
    with transaction.atomic():
        locked = Device.objects.select_for_update().only("ledger_id", "last_sequence").get(pk=device.pk)
        known = _known(locked, statement, content)
        if known is not None:
            return Accepted(known, is_new=False)
        batch = _store(locked, device.area, day, statement, signature, content)
    return Accepted(batch, is_new=True)


def _store(
    device: Device, area: MarketArea, day: dt.date, statement: Statement, signature: bytes, content: Sequence[Reading]
) -> Batch:
    """Check what a locked device has sent against all that is known here, and write it."""
    measured = list(device.measurements.select_related("point__plant").only(*MEASURED))
    points = {bytes(measurement.point.ledger_id): measurement.point for measurement in measured}
    check_content(area, statement, content, points)
    secrets = secrets_of(points.values(), day)
    if any(reading.point not in secrets for reading in content):
        raise BatchRefused(Violation("series", "no_occupant", _("Nobody occupied the metering point on this day.")))
    if batch_root(content, secrets) != statement.root:
        raise BatchRefused(Violation("statement.root", "wrong_root", _("The readings do not have this root.")))
    ids = {ledger_id: point.pk for ledger_id, point in points.items()}
    batch = store_batch(
        statement,
        signature,
        area=area,
        day=day,
        grade=Grade.DEVICE_SIGNED,
        rows=[readings.Row(ids[r.point], r.register, r.slot, r.value, r.quality) for r in content],
        device=device,
        backup=check_measured(measured, content),
    )
    newest = Greatest("newest_end", Value(statement.end))
    Device.objects.filter(pk=device.pk).update(
        last_contact=timezone.now(), last_sequence=statement.sequence, newest_end=newest
    )
    return batch


def _check_key_time(key: DeviceKey, day: dt.date) -> None:
    """A key that was exchanged speaks about the days before the next one's first."""
    if key.grace_until is None:
        return
    following = key.device.keys.filter(pk__gt=key.pk).order_by("pk").values_list("since_day", flat=True).first()
    if following is not None and day >= following:
        message = _("This key was exchanged: it speaks about earlier days only.")
        raise BatchRefused(Violation("statement.key", "outside_key_time", message), status=403)


def _known(device: Device, statement: Statement, content: Sequence[Reading]) -> Batch | None:
    """The same batch, if it was stored before. Raises `BatchRefused` for a sequence that does not rise."""
    if statement.sequence > device.last_sequence:
        return None
    batch = Batch.objects.filter(signer=device.ledger_id, sequence=statement.sequence).first()
    if batch is None:
        raise BatchRefused(
            Violation("statement.sequence", NOT_RISING, _("A later sequence number was seen already.")),
            status=409,
        )
    if not (batch.statement == statement and _has_content(batch, content)):
        raise BatchRefused(
            Violation("statement.sequence", "sequence_reused", _("This sequence number was used for other content.")),
            status=409,
        )
    return batch


def _has_content(batch: Batch, content: Sequence[Reading]) -> bool:
    """Compared row by row: the statement alone says nothing about the readings that came with it this time."""
    found = MeteringPoint.objects.filter(ledger_id__in={reading.point for reading in content})
    ids = {bytes(ledger_id): pk for pk, ledger_id in found.values_list("pk", "ledger_id")}
    stored = readings.of_batches(batch.area_id, [batch.pk], batch.start, batch.end).get(batch.pk, [])
    given = [(ids.get(r.point, 0), r.register, r.slot, r.value, r.quality) for r in content]
    return sorted(stored) == sorted(given)


def check_window(area: MarketArea, statement: Statement) -> dt.date:
    """The local day that a statement is about: one that is over as far as the statement goes."""
    if statement.end > timezone.now().timestamp():
        raise BatchRefused(Violation("statement.end", "in_the_future", _("A reading lies in the future.")))
    if statement.start >= statement.end:
        raise BatchRefused(Violation("statement.end", "empty_window", _("The statement ends before it starts.")))
    day = local_day(statement.start, area.zone)
    if local_day(statement.end - 1, area.zone) != day:
        raise BatchRefused(Violation("statement.end", "more_than_a_day", _("A batch lies within one local day.")))
    return day


def check_content(
    area: MarketArea, statement: Statement, content: Sequence[Reading], points: dict[bytes, MeteringPoint]
) -> None:
    """Check readings against their statement and the area's grid."""
    if statement.unit not in list(Unit):
        raise BatchRefused(
            Violation("statement.unit", "unknown_unit", _("Readings are in Wh (unit 1) or varh (unit 2)."))
        )
    if statement.count != len(content) or not 0 < len(content) <= MOST_READINGS:
        raise BatchRefused(Violation("statement.count", "wrong_count", _("The number of readings differs.")))
    if not _is_good(area, statement, content, points):
        raise BatchRefused(*_violations(area, statement, content, points)[:20])


def _is_good(
    area: MarketArea, statement: Statement, content: Sequence[Reading], points: dict[bytes, MeteringPoint]
) -> bool:
    """Whether no reading breaks a rule of `_violations_of`: the same rules, for the many batches that break none."""
    step, first, last = area.slot_seconds, statement.start, statement.end - area.slot_seconds
    before: tuple[bytes, int, int] = (b"", 0, 0)
    most: dict[tuple[bytes, int], int] = {}
    for reading in content:
        point, register, slot = place = reading.point, reading.register, reading.slot
        bound = most.get((point, register))
        if bound is None:
            bound = _bound(points.get(point), register, statement.unit, step)
            most[point, register] = bound
        if (
            place <= before
            or not 0 <= reading.value <= bound
            or slot % step
            or not first <= slot <= last
            or reading.quality not in QUALITIES
        ):
            return False
        before = place
    return True


def _bound(point: MeteringPoint | None, register: int, unit: int, seconds: int) -> int:
    """The most that a slot can have, less than nothing where the batch cannot have the register at all."""
    if point is None or register not in REGISTERS or Register(register).unit != unit:
        return -1
    return most_energy(point, register, seconds)


def _violations(
    area: MarketArea, statement: Statement, content: Sequence[Reading], points: dict[bytes, MeteringPoint]
) -> list[Violation]:
    """Every rule that a reading breaks, by name."""
    before = b""
    found: list[Violation] = []
    for index, reading in enumerate(content):
        if reading.leaf_id <= before:
            found.append(Violation(f"readings[{index}]", "not_ascending", _("Readings must be in order.")))
        before = reading.leaf_id
        found += _violations_of(f"readings[{index}]", reading, area, statement, points)
    return found


def _violations_of(
    field: str, reading: Reading, area: MarketArea, statement: Statement, points: dict[bytes, MeteringPoint]
) -> list[Violation]:
    found = []
    point = points.get(reading.point)
    if point is None:
        found.append(Violation(f"{field}.point", "other_point", _("The device does not measure this point.")))
    elif reading.register not in REGISTERS:
        found.append(Violation(f"{field}.register", "unknown_register", _("There is no such register.")))
    elif Register(reading.register).unit != statement.unit:
        found.append(
            Violation(f"{field}.register", "other_unit", _("This register does not count in the statement's unit."))
        )
    elif not 0 <= reading.value <= most_energy(point, reading.register, area.slot_seconds):
        found.append(Violation(f"{field}.value", "implausible_energy", _("No such energy is possible at this point.")))
    if reading.slot % area.slot_seconds:
        found.append(Violation(f"{field}.slot", "off_the_grid", _("Slots start on the area's grid.")))
    if not statement.start <= reading.slot <= statement.end - area.slot_seconds:
        found.append(Violation(f"{field}.slot", "outside_window", _("The slot lies outside the statement.")))
    if reading.quality not in QUALITIES:
        found.append(Violation(f"{field}.quality", "unknown_quality", _("There is no such quality.")))
    return found


def most_energy(point: MeteringPoint, register: int, seconds: int) -> int:
    """The most Wh or varh that a slot can have: generously above the plant's power, or what a large site connects."""
    plant = getattr(point, "plant", None)
    generated = plant.power_w * MOST_GENERATION_PERCENT // 100 if plant else 0
    power = {Register.GENERATION: generated, Register.GRID_EXPORT: generated + MOST_UNREGISTERED_W}
    return int(power.get(Register(register), MOST_SITE_W) * seconds // 3600)


def secrets_of(points: Iterable[MeteringPoint], day: dt.date) -> dict[bytes, bytes]:
    """K by ledger id of the points, of whoever occupied them on `day`."""
    names = {point.pk: bytes(point.ledger_id) for point in points}
    occupancies = Occupancy.objects.filter(point__in=names, since__lte=day).exclude(until__lte=day)
    sealed = occupancies.order_by().values_list("point_id", "sealed_secret")
    return {names[point]: open_secret(bytes(secret)) for point, secret in sealed if secret is not None}


def store_batch(
    statement: Statement,
    signature: bytes,
    *,
    area: MarketArea,
    day: dt.date,
    grade: Grade,
    rows: Sequence[readings.Row],
    device: Device | None = None,
    importer_id: int | None = None,
    decision: Decision | None = None,
    backup: Sequence[bool] | None = None,
    brought_by: ReadingImport | None = None,
) -> Batch:
    """Write a checked batch with its readings. Call in a transaction that holds its signer's lock.

    `backup` says of each row whether it is only to inform.
    """
    batch = Batch.objects.create(
        area=area,
        device=device,
        importer_id=importer_id,
        signer=statement.device,
        key_id=statement.key,
        sequence=statement.sequence,
        day=day,
        start=statement.start,
        end=statement.end,
        unit=statement.unit,
        count=statement.count,
        root=statement.root,
        signature=signature,
        grade=grade,
        decision=decision,
        brought_by=brought_by,
    )
    # Another device, or an importer, may write to the same points: versions are counted one after another.
    points = MeteringPoint.objects.select_for_update(no_key=True).filter(pk__in={row.point for row in rows})
    list(points.order_by("pk").values_list("pk"))
    readings.write(area.pk, batch.pk, rows, backup)
    live.publish(rows, backup)
    return batch

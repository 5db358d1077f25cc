"""A metering point's day: its curve, how well it is evidenced, what was corrected."""

import csv
import datetime as dt
import io
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from apps.assets.models import MeteringPoint
from apps.metering import selectors
from apps.metering.choices import SETTLED, Grade, Register
from apps.metering.models import Batch
from apps.metering.origin import source_of
from apps.metering.versions import Version
from apps.portal.links import link
from apps.web.components import Column, Table
from apps.web.formatting import NBSP, decimal_text, kwh_number, local_datetime, slot_range
from apps.web.pictures import LoadCurve
from apps.web.pictures.day import LocalDay

CSV_HEADER = (
    "start",
    "start_utc",
    "register",
    "value",
    "unit",
    "version",
    "current",
    "grade",
    "quality",
    "batch_sequence",
)


def picture_of(point: MeteringPoint, day: dt.date) -> LoadCurve | None:
    """The load curve of a day, with the registers that have readings; None without any."""
    curve = selectors.load_curve(point, day)
    consumption = _if_known(curve.consumption)
    generation = _if_known(curve.generation)
    if consumption is None and generation is None:
        return None
    local = LocalDay(day, point.area.zone, point.area.slot_minutes)
    return LoadCurve("load", _("What your meter read"), local, consumption=consumption, generation=generation)


def _if_known(values: Sequence[int | None]) -> tuple[int | None, ...] | None:
    return tuple(values) if any(value is not None for value in values) else None


def grade_table(versions: Sequence[Version]) -> Table | None:
    """How many settled readings and how many Wh there are of each grade of evidence."""
    current = [version for version in versions if version.is_current and version.register in SETTLED]
    if not current:
        return None
    count: Counter[int] = Counter(version.grade for version in current)
    energy: Counter[int] = Counter()
    for version in current:
        energy[version.grade] += version.value
    columns = (Column(_("Evidence")), Column(_("Readings"), numeric=True), Column(_("kWh"), numeric=True))
    rows = tuple(
        (capfirst(str(Grade(grade).label)), str(count[grade]), kwh_number(energy[grade], fixed=True))
        for grade in sorted(count)
    )
    return Table(_("How the readings of this day are evidenced"), columns, rows)


def evidence_sentence(versions: Sequence[Version]) -> str:
    """What the readings of a day rest on; empty without any."""
    grades = {version.grade for version in versions if version.is_current}
    if not grades:
        return ""
    if Grade.SUBSTITUTE in grades:
        return _("Some readings of this day are substitutes: the meter did not send them, so they were put in by rule.")
    if grades == {Grade.DEVICE_SIGNED}:
        return _("Every reading of this day was signed by the meter itself.")
    if grades == {Grade.OPERATOR_SIGNED}:
        return _("The readings of this day were signed by the operator who imported them, not by a meter.")
    return _("Some readings of this day were signed by the meter, others by the operator who imported them.")


def correction_table(versions: Sequence[Version], point: MeteringPoint) -> Table | None:
    """All versions of those readings that came more than once; None when nothing was corrected."""
    corrected = {(version.slot, version.register) for version in versions if version.version != 0}
    if not corrected:
        return None
    columns = (
        Column(_("Time")),
        Column(_("Register")),
        Column(_("Version"), numeric=True),
        Column(_("Energy"), numeric=True),
        Column(_("Received")),
        Column(_("Source")),
    )
    rows = tuple(
        (
            slot_words(version.slot, point),
            str(Register(version.register).label),
            str(version.version + 1) if version.version >= 0 else _("for information"),
            quantity(version),
            local_datetime(version.batch.received_at, point.area.zone),
            source_of(version.batch).words,
        )
        for version in versions
        if (version.slot, version.register) in corrected
    )
    return Table(_("Readings that came more than once; the highest version counts"), columns, rows, long=True)


def reading_table(versions: Sequence[Version], point: MeteringPoint) -> Table | None:
    """Every reading that stands, each leading to its evidence."""
    columns = (Column(_("Time")), Column(_("Register")), Column(_("Energy"), numeric=True), Column(_("Evidence")))
    url = reverse("portal:reading", args=[point.pk])
    rows = tuple(
        (
            link(f"{url}?slot={version.slot}&register={version.register}", slot_words(version.slot, point)),
            str(Register(version.register).label),
            quantity(version),
            str(version.grade.label),
        )
        for version in versions
        if version.is_current
    )
    return Table(_("Every reading of the day"), columns, rows, long=True) if rows else None


def quantity(version: Version, decimals: int = 2) -> str:
    """The value in the thousandfold of its register's unit, such as 0.25 kWh; exact with three decimals."""
    number = decimal_text(Decimal(version.value).scaleb(-3), least=decimals, most=decimals)
    return f"{number}{NBSP}k{Register(version.register).unit.label}"


def anchored_batches(versions: Sequence[Version]) -> list[Batch]:
    """One batch for each anchor that holds current readings of the day."""
    by_anchor = {v.batch.anchor_id: v.batch for v in versions if v.is_current and v.batch.anchor_id}
    return list(by_anchor.values())


def slot_words(slot: int, point: MeteringPoint) -> str:
    start = datetime.fromtimestamp(slot, UTC)
    return slot_range(start, start + dt.timedelta(minutes=point.area.slot_minutes), point.area.zone)


def csv_of(versions: Sequence[Version], point: MeteringPoint) -> str:
    """The day's readings for a spreadsheet: comma, whole Wh or varh, local time with its offset."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_HEADER)
    for version in versions:
        start = datetime.fromtimestamp(version.slot, UTC)
        writer.writerow(
            (
                start.astimezone(point.area.zone).isoformat(),
                f"{start:%Y-%m-%dT%H:%M:%SZ}",
                Register(version.register).name.lower(),
                version.value,
                Register(version.register).unit.label,
                version.version,
                "yes" if version.is_current else "no",
                version.batch.grade,
                version.quality,
                version.batch.sequence,
                f"{version.batch.received_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
                source_of(version.batch).words,
            )
        )
    return text.getvalue()

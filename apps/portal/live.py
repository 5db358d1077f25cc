"""Newest values of metering points: as a page shows them when it is opened, and as events while it stays open."""

import datetime as dt
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from apps.accounts.permissions import Viewer
from apps.assets.models import MeteringPoint
from apps.metering import readings
from apps.metering.choices import SETTLED
from apps.metering.live import WINDOW
from apps.metering.models import Batch
from apps.metering.readings import Row
from apps.portal.selectors import first_days
from apps.web.formatting import kwh, local_date, slot_range
from evidence.readings import Register
from market_math.slots import day_bounds

MOST_POINTS = 50
# Seconds between the arrival of a batch and its commit, generously: what arrived a little before is told again.
OVERLAP = 120

LABELS: dict[int, Promise] = {
    Register.CONSUMPTION: gettext_lazy("Energy used"),
    Register.GENERATION: gettext_lazy("Energy made"),
}


@dataclass(frozen=True, slots=True)
class LiveValue:
    """The newest slot of a register; `slot` is None where there is none."""

    key: str
    label: str
    slot: int | None = None
    energy: str = ""
    when: str = ""


@dataclass(frozen=True, slots=True)
class LiveValues:
    """What a page shows, and where it hears what comes after `since` (milliseconds)."""

    url: str
    since: int
    points: list[tuple[MeteringPoint, list[LiveValue]]]


def now_ms() -> int:
    return int(time.time() * 1000)


def live_values(viewer: Viewer, points: Sequence[MeteringPoint]) -> LiveValues | None:
    """For a page about `points`, which the viewer may see; None where none of them may be watched."""
    since, now = watchable(viewer, points[:MOST_POINTS]), now_ms()
    shown = [point for point in points if point.pk in since]
    if not shown:
        return None
    known = {(row.point, row.register): row for row in newest(shown, since)}
    url = f"{reverse('portal:live')}?{urlencode({'point': [point.pk for point in shown]}, doseq=True)}"
    return LiveValues(url, now, [(point, _values(point, known)) for point in shown])


def _values(point: MeteringPoint, known: Mapping[tuple[int, int], Row]) -> list[LiveValue]:
    """Of both registers, without generation where nothing makes energy and none was read."""
    return [
        value_of(known[point.pk, register], point)
        if (point.pk, register) in known
        else LiveValue(_key(point.pk, register), str(LABELS[register]))
        for register in SETTLED
        if register == Register.CONSUMPTION or hasattr(point, "plant") or (point.pk, register) in known
    ]


def value_of(row: Row, point: MeteringPoint) -> LiveValue:
    start = datetime.fromtimestamp(row.slot, UTC)
    end = start + dt.timedelta(minutes=point.area.slot_minutes)
    when = f"{local_date(start, point.area.zone)}, {slot_range(start, end, point.area.zone)}"
    key, label = _key(row.point, row.register), str(LABELS[row.register])
    return LiveValue(key, label, row.slot, kwh(row.value), when)


def _key(point: int, register: int) -> str:
    return f"{point}-{register}"


def event_of(rows: Iterable[Row], points: Mapping[int, MeteringPoint], at: int) -> bytes:
    """Values as one event with the time `at` as its id; empty without any that pages show."""
    values = [value_of(row, points[row.point]) for row in rows if row.register in SETTLED]
    if not values:
        return b""
    shown = [{"key": v.key, "slot": v.slot, "energy": v.energy, "when": v.when} for v in values]
    return f"id: {at}\ndata: {json.dumps(shown)}\n\n".encode()


def watchable(viewer: Viewer, points: Iterable[MeteringPoint]) -> dict[int, int]:
    """The first slot that the viewer may see, by point: a customer's own since they moved in."""
    points = list(points)
    first = first_days(viewer, points)
    oldest = int(time.time()) - WINDOW
    found = {}
    for point in points:
        if point.party_id not in viewer.own:
            found[point.pk] = oldest
        elif point.pk in first:
            found[point.pk] = max(oldest, day_bounds(first[point.pk], point.area.zone)[0])
    return found


def newest(points: Sequence[MeteringPoint], since: Mapping[int, int], received_since: int | None = None) -> list[Row]:
    """The newest value of each register; with `received_since` (milliseconds) only of what arrived later."""
    by_area: dict[int, list[int]] = {}
    for point in points:
        by_area.setdefault(point.area_id, []).append(point.pk)
    now = int(time.time())
    found = [
        stored
        for area, ids in by_area.items()
        for stored in readings.newest(area, ids, min(since[pk] for pk in ids), now, SETTLED)
        if stored.slot >= since[stored.point]
    ]
    if received_since is not None:
        at = datetime.fromtimestamp(received_since / 1000 - OVERLAP, UTC)
        later = set(
            Batch.objects.filter(pk__in={stored.batch for stored in found}, received_at__gte=at).values_list(
                "pk", flat=True
            )
        )
        found = [stored for stored in found if stored.batch in later]
    return [Row(stored.point, stored.register, stored.slot, stored.value, stored.quality) for stored in found]

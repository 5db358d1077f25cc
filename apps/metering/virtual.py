"""Virtual points: registers that are sums and differences of other points' registers, computed set-based per day.

Nothing of it is stored and no device ever signs it: its evidence is that of its parts, its grade the worst of theirs.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import numpy as np
from django.db.models import Q
from django.utils.translation import gettext as _

from apps.assets.models import MarketArea
from apps.metering import readings
from apps.metering.arrangements import Term, VirtualPoint
from apps.metering.exceptions import VirtualPointError
from apps.metering.models import Batch
from apps.metering.readings import Ints
from evidence.readings import Grade, Quality
from market_math.slots import day_slots

# A register of a virtual point.
Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Computed:
    """A register of a virtual point over the slots of a local day.

    `value` in Wh or varh, negative where more is subtracted than added, and of no meaning where `grade` is zero: there
    a part is missing. Otherwise `grade` is the worst of the parts.
    """

    slots: range
    value: Ints
    grade: Ints
    terms: tuple[Term, ...]


def check_terms(virtual: VirtualPoint, terms: Iterable[Term]) -> None:
    """Raises `VirtualPointError` where a virtual point with these terms would be computed from itself.

    Periods make no difference: a circle that no day closes today could be closed by a change of dates. The caller
    holds the lock of the area.
    """
    # Zero for one that is not stored yet.
    own = virtual.pk or 0
    stored = Term.objects.filter(of__area=virtual.area_id).exclude(virtual=None).exclude(of=own)
    graph: dict[int, set[int]] = defaultdict(set)
    for of, source in stored.values_list("of", "virtual"):
        graph[of].add(source)
    graph[own] = {term.virtual_id for term in terms if term.virtual_id}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError:
        raise VirtualPointError(_("A virtual point cannot be computed from itself.")) from None


def compute_day(area: MarketArea, day: dt.date, wanted: Sequence[VirtualPoint]) -> dict[Key, Computed]:
    """All registers of virtual points that have terms on a local day; in three queries, however many there are."""
    slots = day_slots(day, area.zone, area.slot_minutes)
    terms = _terms_of(area, day, {virtual.pk for virtual in wanted})
    base = [term for own in terms.values() for term in own if term.point_id]
    source = _Sources(area.pk, slots, base)
    done: dict[Key, Computed] = {}
    for key in _in_order(terms):
        done[key] = _sum(slots, terms[key], source, done)
    pks = {virtual.pk for virtual in wanted}
    return {key: computed for key, computed in done.items() if key[0] in pks}


def _terms_of(area: MarketArea, day: dt.date, wanted: set[int]) -> dict[Key, list[Term]]:
    """The terms of `wanted` on a day, and of all that they are computed from."""
    on_day = Term.objects.filter(Q(until=None) | Q(until__gt=day), of__area=area, since__lte=day)
    by_virtual: dict[int, list[Term]] = defaultdict(list)
    for term in on_day.select_related("point", "virtual", "of").order_by("pk"):
        by_virtual[term.of_id].append(term)
    found: dict[Key, list[Term]] = defaultdict(list)
    open_, seen = list(wanted), set(wanted)
    while open_:
        for term in by_virtual[open_.pop()]:
            found[term.of_id, term.register].append(term)
            if term.virtual_id and term.virtual_id not in seen:
                seen.add(term.virtual_id)
                open_.append(term.virtual_id)
    return found


def _in_order(terms: Mapping[Key, list[Term]]) -> Iterator[Key]:
    """Registers after those that they are computed from."""
    graph = {
        key: {(term.virtual_id, term.source_register) for term in own if term.virtual_id} for key, own in terms.items()
    }
    return (key for key in TopologicalSorter(graph).static_order() if key in terms)


class _Sources:
    """Readings and their grades by (metering point, register), one row of arrays each."""

    def __init__(self, area: int, slots: range, terms: Sequence[Term]) -> None:
        points = sorted({term.point_id for term in terms if term.point_id})
        registers = sorted({term.source_register for term in terms})
        self._row = {point: index for index, point in enumerate(points)}
        self._grids = readings.grids(area, points, slots, registers)
        self._grades = {register: _grades(grid) for register, grid in self._with_grades(area)}

    def _with_grades(self, area: int) -> Iterator[tuple[int, tuple[readings.Grid, Ints, Ints]]]:
        batches = np.unique(np.concatenate([np.zeros(1, np.int64), *(g.batch.ravel() for g in self._grids.values())]))
        found = dict(Batch.objects.filter(pk__in=batches[1:].tolist()).values_list("pk", "grade"))
        grades = np.array([found.get(pk, 0) for pk in batches.tolist()], np.int64)
        for register, grid in self._grids.items():
            yield register, (grid, batches, grades)

    def row(self, term: Term) -> tuple[Ints, Ints]:
        assert term.point_id is not None  # noqa: S101 a term of a virtual point is taken from what was computed
        row = self._row[term.point_id]
        return self._grids[term.source_register].value[row], self._grades[term.source_register][row]


def _grades(of: tuple[readings.Grid, Ints, Ints]) -> Ints:
    """Grade of each reading, zero where there is none; what a device marked as a substitute is no better than that."""
    grid, batches, grades = of
    found = grades[np.searchsorted(batches, grid.batch)]
    return np.where((found > 0) & (grid.quality == Quality.SUBSTITUTE), int(Grade.SUBSTITUTE), found)


def _sum(slots: range, terms: list[Term], source: _Sources, done: Mapping[Key, Computed]) -> Computed:
    value, worst = np.zeros(len(slots), np.int64), np.zeros(len(slots), np.int64)
    known = np.ones(len(slots), np.bool_)
    for term in terms:
        part, grade = _part(slots, term, source, done)
        value += term.sign * part
        worst = np.maximum(worst, grade)
        known &= grade > 0
    return Computed(slots, np.where(known, value, 0), np.where(known, worst, 0), tuple(terms))


def _part(slots: range, term: Term, source: _Sources, done: Mapping[Key, Computed]) -> tuple[Ints, Ints]:
    if term.point_id:
        return source.row(term)
    computed = done.get((term.virtual_id or 0, term.source_register))
    if computed is None:
        # A virtual point without terms on this day says nothing.
        return np.zeros(len(slots), np.int64), np.zeros(len(slots), np.int64)
    return computed.value, computed.grade

"""The settled days of a bundle: which allotments and rows are on the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass

from evidence import merkle
from evidence.bundle import SettledDay, ShownRow
from evidence.commands.kinds import RecordSettlement
from evidence.merkle import ProofError
from evidence.readings import Register
from evidence.settlement import Allotment
from evidence.sumtree import Node, root_from_path
from evidence.verify.document import Document
from evidence.verify.readings import Readings
from evidence.verify.records import Records, known
from evidence.verify.report import Check, VerificationError


@dataclass(frozen=True, slots=True)
class Share:
    """A shown row under its allotment."""

    place: str
    allotment: Allotment
    shown: ShownRow


@dataclass(frozen=True, slots=True)
class ShownShares:
    """An allotment with those of its rows that are shown."""

    place: str
    allotment: Allotment
    shares: tuple[Share, ...]


class Settled:
    """The shown allotments by plant, slot and scheme. `with_generation`: slots that may not lack their generation."""

    def __init__(self, records: Records, document: Document, readings: Readings) -> None:
        self.records = records
        self.document = document
        self.readings = readings
        self.allotments: dict[tuple[bytes, int, int], ShownShares] = {}
        self.with_generation: set[int] = set()

    def add(self, days: Sequence[SettledDay]) -> Check:
        settled: dict[int, RecordSettlement] = {}
        for i, day in enumerate(days):
            place = f"days[{i}]"
            recorded = self._settlement_of(place, day)
            if recorded.area != self.document.area or recorded.day in settled:
                raise VerificationError(place, "the settlement is of another area, or of a day that is there twice")
            settled[recorded.day] = recorded
            self._add_day(place, day, recorded)
        if sorted(settled) != self.document.days:
            raise VerificationError("days", "not every day of the period is there")
        versions = ", ".join(sorted({f"version {recorded.version}" for recorded in settled.values()}))
        return Check("settlement", f"{len(settled)} settled days are on the ledger ({versions})")

    def _add_day(self, place: str, day: SettledDay, recorded: RecordSettlement) -> None:
        slots = self.document.slots_of(recorded.day)
        if any(self.readings.anchored.get(slot, 0) > self.records.entries[recorded.root] for slot in slots):
            raise VerificationError(place, "it was recorded before its readings were anchored")
        if self._had_generation(recorded, slots):
            self.with_generation.update(slots)
        for j, shown in enumerate(day.allotments):
            at, allotment = f"{place}.allotments[{j}]", shown.allotment
            if allotment.slot not in slots:
                raise VerificationError(at, "the slot is not of the settlement's day")
            shares = tuple(Share(f"{at}.rows[{k}]", allotment, row) for k, row in enumerate(shown.rows))
            for share in shares:
                _check_row(share)
            key = allotment.plant, allotment.slot, allotment.scheme
            if key in self.allotments:
                raise VerificationError(at, "the allotment is given twice")
            self.allotments[key] = ShownShares(at, allotment, shares)

    def _had_generation(self, recorded: RecordSettlement, slots: range) -> bool:
        """Whether a plant stood behind the meter on the settled day: then no slot may lack its generation."""
        entries = self.records.entries
        plants = [fields for fields in self.records.plants.values() if fields.point == self.document.point]
        settled = entries[recorded.root]
        if any(fields.since <= recorded.day and entries[fields.plant] < settled for fields in plants):
            return True
        return any(self.readings.energy.get((Register.GENERATION, slot)) for slot in slots)

    def _settlement_of(self, place: str, day: SettledDay) -> RecordSettlement:
        try:
            root = merkle.root_from_path([(s.index, s.allotment.leaf_hash) for s in day.allotments], day.path)
        except ProofError as error:
            raise VerificationError(place, str(error)) from None
        found = known(place, self.records.settlements, root, "settlement")
        if found.count != day.path.size:
            raise VerificationError(place, "the settlement has another number of allotments")
        return found


def _check_row(share: Share) -> None:
    allotment, shown = share.allotment, share.shown
    leaf_node = Node(shown.row.hash(shown.salt), shown.row.sums)
    try:
        node = root_from_path(leaf_node, shown.index, allotment.rows, shown.siblings)
    except ValueError as error:
        raise VerificationError(share.place, str(error)) from None
    if node != allotment.node or shown.row.scheme != allotment.scheme:
        raise VerificationError(share.place, "the row is not in the allotment's tree")

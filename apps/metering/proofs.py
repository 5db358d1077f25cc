"""Show readings of one metering point out of the batches that were signed: leaves, paths, and places in anchors."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from apps.accounts.models import Party
from apps.assets.models import MeteringPoint, Occupancy
from apps.assets.services import reading_secret
from apps.metering import readings
from apps.metering.exceptions import EvidenceError
from apps.metering.models import Anchor, Batch, Device
from apps.metering.readings import Stored
from apps.metering.services.anchors import leaf_of
from evidence import merkle
from evidence.bundle import ShownReading, SignedBatch
from evidence.merkle import Path
from evidence.readings import LeafId, LeafValue, Reading, leaf_hashes, salt


@dataclass(frozen=True, slots=True)
class ShownLeaves:
    """Some readings of a batch, with their common path to the root that was signed."""

    batch: Batch
    path: Path
    readings: tuple[ShownReading, ...]


def shown_leaves(point: MeteringPoint, chosen: Iterable[Stored]) -> list[ShownLeaves]:
    """The leaves of readings of a metering point, by batch. Raises `EvidenceError` where they cannot be shown."""
    by_batch: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for reading in chosen:
        by_batch[reading.batch].add((reading.register, reading.slot))
    batches = Batch.objects.filter(pk__in=by_batch).select_related("device", "importer", "anchor").order_by("pk")
    found = list(batches)
    if not found:
        return []
    start, end = min(batch.start for batch in found), max(batch.end for batch in found)
    content = readings.of_batches(point.area_id, [batch.pk for batch in found], start, end)
    occupancies = _occupancies({row.point for rows in content.values() for row in rows})
    return [_leaves(point, batch, by_batch[batch.pk], content[batch.pk], occupancies) for batch in found]


def _leaves(
    point: MeteringPoint,
    batch: Batch,
    wanted: set[tuple[int, int]],
    content: list[readings.Row],
    occupancies: dict[int, list[Occupancy]],
) -> ShownLeaves:
    occupied = {pk: _on(batch.day, occupancies[pk]) for pk in {row.point for row in content}}
    ids = {pk: bytes(occupancy.point.ledger_id) for pk, occupancy in occupied.items()}
    every = sorted(
        (Reading(ids[row.point], row.register, row.slot, row.value, row.quality) for row in content),
        key=lambda reading: reading.leaf_id,
    )
    try:
        secrets = {ids[pk]: reading_secret(occupancy) for pk, occupancy in occupied.items()}
    except ValueError as error:
        raise EvidenceError(str(error)) from None
    hashes = leaf_hashes(every, secrets)
    if merkle.root_of_hashes(hashes) != bytes(batch.root):
        raise EvidenceError(f"the readings of {batch} are not those that were signed")
    own = bytes(point.ledger_id)
    indexes = [i for i, r in enumerate(every) if r.point == own and (r.register, r.slot) in wanted]
    shown = (_shown(i, every[i], secrets[own]) for i in indexes)
    return ShownLeaves(batch, merkle.path(hashes, indexes), tuple(shown))


def _shown(index: int, reading: Reading, secret: bytes) -> ShownReading:
    leaf_id = LeafId(reading.point, reading.register, reading.slot)
    return ShownReading(index, salt(secret, reading.leaf_id), leaf_id, LeafValue(reading.value, reading.quality))


def signed_batches(leaves: Iterable[ShownLeaves]) -> Iterator[SignedBatch]:
    """The same with each batch's place in its anchor. Raises `EvidenceError` for one that is not anchored."""
    shown = list(leaves)
    anchors = _anchor_hashes({leaf.batch.anchor_id for leaf in shown if leaf.batch.anchor_id})
    for one in shown:
        batch = one.batch
        if batch.anchor_id is None or batch.anchor_index is None:
            raise EvidenceError(f"the batch {batch} is not anchored")
        path = merkle.path(anchors[batch.anchor_id], [batch.anchor_index])
        yield SignedBatch(batch.statement, bytes(batch.signature), batch.anchor_index, path, one.path, one.readings)


def holders_of(batch: Batch) -> list[Anchor | Device | Party]:
    """What the ledger has to show for a batch: its anchor, and whoever signed it."""
    return [holder for holder in (batch.anchor, batch.device, batch.importer) if holder is not None]


def _occupancies(points: Iterable[int]) -> dict[int, list[Occupancy]]:
    found: dict[int, list[Occupancy]] = defaultdict(list)
    for occupancy in Occupancy.objects.filter(point__in=points).select_related("point"):
        found[occupancy.point_id].append(occupancy)
    return found


def _on(day: dt.date, occupancies: Iterable[Occupancy]) -> Occupancy:
    """The occupancy whose secret salted the readings of a day."""
    return next(one for one in occupancies if one.since <= day and (one.until is None or day < one.until))


def _anchor_hashes(anchors: set[int]) -> dict[int, list[bytes]]:
    """Leaf hashes of anchors, in the order of claim."""
    found: dict[int, list[bytes]] = defaultdict(list)
    for batch in Batch.objects.filter(anchor__in=anchors).order_by("anchor", "anchor_index"):
        if batch.anchor_id is not None:
            found[batch.anchor_id].append(merkle.leaf_hash(leaf_of(batch)))
    return found

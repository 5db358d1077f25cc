"""Anchor what arrived: one root per area and day over the batches that no anchor has claimed yet."""

from itertools import groupby

from django.db import transaction
from django.db.models import Exists, OuterRef

from apps.assets.models import MarketArea
from apps.ledger.services.enqueue import enqueue
from apps.metering.models import Anchor, Batch, DeviceKey
from evidence import merkle
from evidence.commands.kinds import AnchorReadings
from evidence.readings import anchor_leaf
from market_math.slots import day_number

AT_ONCE = 10_000


def leaf_of(batch: Batch) -> bytes:
    return anchor_leaf(batch.statement.digest, bytes(batch.signature))


@transaction.atomic
def anchor_batches(area: MarketArea) -> list[Anchor]:
    """Claim the area's open batches, by day, and queue their roots for the ledger."""
    revoked = DeviceKey.objects.filter(device=OuterRef("device"), key_id=OuterRef("key_id")).exclude(revoked_at=None)
    # What was signed with a key that is revoked by now would be void on the ledger.
    open_batches = Batch.objects.filter(~Exists(revoked), area=area, anchor=None)
    locked = open_batches.order_by("id").select_for_update(skip_locked=True)[:AT_ONCE]
    claimed = sorted(locked, key=lambda batch: (batch.day, batch.pk))
    return [_anchor(area, list(batches)) for _, batches in groupby(claimed, key=lambda batch: batch.day)]


def _anchor(area: MarketArea, batches: list[Batch]) -> Anchor:
    anchor = Anchor(
        area=area,
        day=batches[0].day,
        start=min(batch.start for batch in batches),
        end=max(batch.end for batch in batches),
        count=len(batches),
        root=merkle.root([leaf_of(batch) for batch in batches]),
    )
    anchor.command_id = enqueue(
        AnchorReadings(
            bytes(area.ledger_id), day_number(anchor.day), anchor.start, anchor.end, anchor.count, anchor.root
        ),
        ledger=area.utility.ledger,
    )
    anchor.save()
    for index, batch in enumerate(batches):
        batch.anchor, batch.anchor_index = anchor, index
    Batch.objects.bulk_update(batches, ["anchor", "anchor_index"], batch_size=1000)
    return anchor

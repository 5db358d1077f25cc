"""Gather the evidence of an invoice into a bundle."""

from collections.abc import Iterable

from apps.accounts.models import Party, PartyKey
from apps.assets.models import Plant
from apps.billing import documents
from apps.billing.exceptions import BillingError
from apps.billing.models import DocumentKind, Invoice
from apps.ledger.choices import LedgerState
from apps.ledger.ledgers import get_ledger
from apps.ledger.services.proofs import log_of
from apps.metering import readings
from apps.metering.choices import SETTLED
from apps.metering.exceptions import EvidenceError
from apps.metering.models import Anchor, Device, DeviceKey
from apps.metering.proofs import holders_of, shown_leaves, signed_batches
from apps.offers.models import Purchase
from apps.settlement import allocations
from apps.settlement.allocations import Names, Tree
from apps.settlement.choices import Scheme
from apps.settlement.models import Settlement
from apps.settlement.selectors import anchors_of
from evidence import bundle, merkle, sumtree
from evidence.bundle import SettledDay, ShownAllotment, ShownRow, SignedBatch
from market_math.slots import day_bounds


def evidence_bundle(invoice: Invoice) -> bytes:
    """The bundle of an invoice that is on the ledger, as canonical JSON. Raises `BillingError` before that."""
    if not invoice.is_confirmed:
        raise BillingError("the invoice is not on the ledger yet")
    gathering = _Gathering(invoice)
    settlements = list(invoice.settlements.order_by("day"))
    days = tuple(gathering.settled_day(settlement) for settlement in settlements)
    batches = tuple(gathering.signed_batches(settlements))
    log = gathering.log()
    return bundle.dump(bundle.Bundle(documents.read(invoice), bytes(invoice.salt), log, tuple(days), batches))


class _Gathering:
    """Collects sections and, on the way, the ids of the commands that they rest on."""

    def __init__(self, invoice: Invoice) -> None:
        self.invoice = invoice
        self.area = invoice.area
        self.plant = Plant.objects.filter(point=invoice.point).first()
        self.start = day_bounds(invoice.start, self.area.zone)[0]
        self.end = day_bounds(invoice.end, self.area.zone)[0]
        self.purchases: set[int] = set()
        self.devices: set[int] = set()
        self.parties = {self.area.utility_id, invoice.party_id}
        self.command_ids = {_command_of(holder) for holder in (invoice, self.area.utility, invoice.party)}
        if self.plant is not None:
            self.parties.add(self.plant.owner_id)
            self.command_ids |= {_command_of(self.plant), _command_of(self.plant.owner)}

    # Settlement

    def settled_day(self, settlement: Settlement) -> SettledDay:
        self.command_ids.add(_command_of(settlement))
        start, end = day_bounds(settlement.day, self.area.zone)
        rows = allocations.read(self.area.pk, [settlement.pk], start, end)
        bought = {row.claim for row in rows if row.scheme == Scheme.PURCHASE}
        names = Names(self.area.pk, bytes(self.area.utility.ledger_id), bought)
        trees = allocations.build_trees(bytes(settlement.salt), names, rows, allocations.surplus_of(rows))
        if allocations.settlement_root(trees) != bytes(settlement.root):
            raise BillingError(f"the allocations of {settlement} are not those that its root stands for")
        shown = [(i, self._show(i, tree)) for i, tree in enumerate(trees)]
        kept = [(i, allotment) for i, allotment in shown if allotment is not None]
        hashes = [tree.allotment.leaf_hash for tree in trees]
        return SettledDay(merkle.path(hashes, [i for i, _ in kept]), tuple(allotment for _, allotment in kept))

    def _show(self, index: int, tree: Tree) -> ShownAllotment | None:
        chosen = [i for i, item in enumerate(tree.rows) if self._concerns(tree, item.allocation)]
        if not chosen:
            return None
        claims = {tree.rows[i].allocation.claim for i in chosen if tree.allotment.scheme == Scheme.PURCHASE}
        self._add_purchases(claims)
        nodes = [item.node for item in tree.rows]
        rows = [ShownRow(i, tree.rows[i].salt, tree.rows[i].row, sumtree.path(nodes, i)) for i in chosen]
        return ShownAllotment(index, tree.allotment, tuple(rows))

    def _concerns(self, tree: Tree, row: allocations.Allocation) -> bool:
        if self.invoice.kind == DocumentKind.INVOICE:
            takes = (Scheme.OWN_USE, Scheme.PURCHASE, Scheme.SUPPLY)
            return row.point == self.invoice.point_id and row.scheme in takes
        gives = (Scheme.PURCHASE, Scheme.FEED_IN)
        return self.plant is not None and row.plant == self.plant.pk and row.scheme in gives

    def _add_purchases(self, claims: Iterable[int]) -> None:
        new = [claim for claim in claims if claim not in self.purchases]
        found = Purchase.objects.filter(pk__in=new).select_related("buyer", "offer__declaration__seller")
        for purchase in found:
            self.purchases.add(purchase.pk)
            declaration = purchase.offer.declaration
            self.parties |= {purchase.buyer_id, declaration.seller_id}
            holders = (purchase, purchase.buyer, purchase.offer, declaration, declaration.seller)
            self.command_ids |= {_command_of(holder) for holder in holders}

    # Readings

    def signed_batches(self, settlements: Iterable[Settlement]) -> Iterable[SignedBatch]:
        anchors = anchors_of(settlements)
        stored = readings.latest(self.area.pk, [self.invoice.point_id], self.start, self.end, anchors)
        try:
            leaves = shown_leaves(self.invoice.point, [r for r in stored if r.register in SETTLED])
            for one in leaves:
                self.command_ids |= {_command_of(holder) for holder in holders_of(one.batch)}
                if one.batch.device_id:
                    self.devices.add(one.batch.device_id)
            return tuple(signed_batches(leaves))
        except EvidenceError as error:
            raise BillingError(str(error)) from None

    # Ledger

    def log(self) -> bundle.Log:
        keys = PartyKey.objects.filter(party__in=self.parties, ledger_state=LedgerState.CONFIRMED)
        rotations = {_command_of(key) for key in keys}
        for key in DeviceKey.objects.filter(device__in=self.devices):
            rotations |= {bytes(each) for each in (key.rotation_id, key.revocation_id) if each}
        return log_of(get_ledger(self.area.utility.ledger).prove(self.command_ids | rotations))


def _command_of(holder: Invoice | Party | Plant | Settlement | Purchase | Anchor | Device | object) -> bytes:
    command_id = getattr(holder, "command_id", None)
    if command_id is None:
        raise BillingError(f"{holder} was never put on the ledger")
    return bytes(command_id)

"""What a plant sold, recomputed as far as its owner can: what buyers consumed is not for others to see."""

from collections import Counter

from evidence.commands.kinds import RegisterPlant
from evidence.settlement import Scheme
from evidence.verify.document import Document
from evidence.verify.purchases import check_agreement, check_once, check_proportion
from evidence.verify.readings import Readings
from evidence.verify.records import Records
from evidence.verify.report import Check, VerificationError
from evidence.verify.settlement import Settled, Share


class Sold:
    """`undelivered`: what is left of each purchase, as the slots go by."""

    def __init__(self, records: Records, document: Document, readings: Readings, settled: Settled) -> None:
        self.records = records
        self.document = document
        self.readings = readings
        self.settled = settled
        self.undelivered = {claim: purchase.energy for claim, purchase in records.purchases.items()}

    def energy(self) -> tuple[dict[tuple[Scheme, int], int], Check]:
        """Wh by scheme and price in micro-currency per kWh."""
        plant = self._plant()
        for (giver, _, scheme), shown in self.settled.allotments.items():
            if giver != plant.plant or scheme not in (Scheme.PURCHASE, Scheme.FEED_IN):
                raise VerificationError(shown.place, "the allotment does not belong to this plant's credit note")
        sums: Counter[tuple[Scheme, int]] = Counter()
        for slot in self.document.slots:
            generated = self.readings.generated(slot, is_expected=True)
            surplus = generated - min(generated, self.readings.consumed(slot))
            for scheme in (Scheme.PURCHASE, Scheme.FEED_IN):
                for share in self._check_sold(plant.plant, slot, scheme, surplus):
                    row = share.shown.row
                    if scheme == Scheme.PURCHASE:
                        self._check_sale(share)
                    sums[scheme, row.price] += row.allocated
                    surplus -= row.allocated
            if surplus:
                raise VerificationError("days", f"slot {slot}: {surplus} Wh of surplus went nowhere")
        check = Check("shares", "every slot's surplus was sold or fed in, to the Wh")
        return {key: wh for key, wh in sums.items() if wh}, check

    def _plant(self) -> RegisterPlant:
        plants = [fields for fields in self.records.plants.values() if fields.point == self.document.point]
        if len(plants) != 1:
            raise VerificationError("ledger", "the registration of the plant is missing")
        if plants[0].owner != self.document.customer:
            raise VerificationError("document.customer", "the plant has another owner")
        return plants[0]

    def _check_sold(self, plant: bytes, slot: int, scheme: Scheme, surplus: int) -> tuple[Share, ...]:
        """All rows of an allotment of the seller's own plant."""
        if (plant, slot, scheme) not in self.settled.allotments:
            return ()
        shown = self.settled.allotments[plant, slot, scheme]
        place, allotment, shares = shown.place, shown.allotment, shown.shares
        if allotment.available != surplus or allotment.allocated > surplus:
            raise VerificationError(place, f"{allotment.available} Wh available where the meter shows {surplus} Wh")
        if [share.shown.index for share in shares] != list(range(allotment.rows)):
            raise VerificationError(place, "a seller sees all rows of the own plant, but some are missing")
        if scheme == Scheme.PURCHASE:
            check_once(shares)
        return shares

    def _check_sale(self, share: Share) -> None:
        row, place = share.shown.row, share.place
        _, declared = check_agreement(self.records, self.document, share)
        if declared.seller != self.document.customer:
            raise VerificationError(place, "the surplus was declared for somebody who is not the plant's owner")
        left = self.undelivered[row.claim]
        if row.weight:
            check_proportion(share, left, left)
        elif row.limit != row.allocated or row.allocated > left:
            raise VerificationError(place, f"{row.allocated} Wh where {left} Wh are undelivered")
        self.undelivered[row.claim] -= row.allocated

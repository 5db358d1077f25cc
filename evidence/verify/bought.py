"""What a customer bought, recomputed slot by slot."""

from collections import Counter

from evidence.settlement import Scheme
from evidence.verify.document import Document
from evidence.verify.purchases import check_agreement, check_once, check_proportion
from evidence.verify.readings import Readings
from evidence.verify.records import Records
from evidence.verify.report import Check, VerificationError
from evidence.verify.settlement import Settled, Share


class Bought:
    """`undelivered`: what is left of each purchase, as the slots go by."""

    def __init__(self, records: Records, document: Document, readings: Readings, settled: Settled) -> None:
        self.records = records
        self.document = document
        self.readings = readings
        self.settled = settled
        self.undelivered = {claim: purchase.energy for claim, purchase in records.purchases.items()}
        self.rounded: Counter[str] = Counter()
        self.sums: Counter[tuple[Scheme, int]] = Counter()

    def energy(self) -> tuple[dict[tuple[Scheme, int], int], Check]:
        """Wh by scheme and price in micro-currency per kWh."""
        by_slot: dict[int, list[Share]] = {}
        for shown in self.settled.allotments.values():
            for share in shown.shares:
                if share.shown.row.point != self.document.point:
                    raise VerificationError(share.place, "the row is of another metering point")
                by_slot.setdefault(shown.allotment.slot, []).append(share)
        for slot in self.document.slots:
            self._check_slot(slot, by_slot.get(slot, []))
        rounded = ", ".join(f"{count} {which}" for which, count in sorted(self.rounded.items())) or "none to round"
        bought = sum(purchase.energy for purchase in self.records.purchases.values())
        # Purchases that are kept back cannot be missed here; whoever made them knows them.
        purchases = f"purchases shown: {len(self.undelivered)}, bought {bought} Wh, delivered "
        purchases += f"{bought - sum(self.undelivered.values())} Wh"
        text = f"every slot adds up to its reading; {purchases}; shares of a Wh: {rounded}"
        return {key: wh for key, wh in self.sums.items() if wh}, Check("shares", text)

    def _check_slot(self, slot: int, shares: list[Share]) -> None:
        document = self.document
        consumed = self.readings.consumed(slot)
        generated = self.readings.generated(slot, is_expected=slot in self.settled.with_generation)
        uncovered = consumed - _take(shares, Scheme.OWN_USE, min(generated, consumed), document.point, slot)[1]
        bought = [share for share in shares if share.allotment.scheme == Scheme.PURCHASE]
        bought.sort(key=lambda share: (share.allotment.plant, share.shown.row.claim))
        check_once(bought)
        for share in bought:
            uncovered -= self._check_purchase(share, bought, uncovered)
            row = share.shown.row
            self.sums[Scheme.PURCHASE, row.price] += row.allocated
        price, supplied = _take(shares, Scheme.SUPPLY, uncovered, document.issuer, slot)
        self.sums[Scheme.SUPPLY, price] += supplied
        known = {Scheme.OWN_USE, Scheme.PURCHASE, Scheme.SUPPLY}
        for share in shares:
            if share.allotment.scheme not in known:
                raise VerificationError(share.place, "the row does not belong to an invoice")

    def _check_purchase(self, share: Share, bought: list[Share], uncovered: int) -> int:
        """Recompute the row of a purchase; returns the Wh that it covers."""
        row, allotment, place, undelivered = share.shown.row, share.allotment, share.place, self.undelivered
        purchase, _ = check_agreement(self.records, self.document, share)
        if purchase.buyer != self.document.customer:
            raise VerificationError(place, "the purchase is another customer's")
        earlier = [
            other.shown.row
            for other in bought
            if other.allotment.plant == allotment.plant and other.shown.row.claim < row.claim
        ]
        before = sum(undelivered[other.claim] + other.allocated for other in earlier)
        given = sum(other.allocated for other in earlier)
        limit = max(0, min(undelivered[row.claim], uncovered + given - before))
        if row.weight:
            self.rounded[check_proportion(share, undelivered[row.claim], limit)] += 1
        elif not row.limit == row.allocated == limit:
            raise VerificationError(place, f"{row.allocated} Wh where {limit} Wh are due in full")
        undelivered[row.claim] -= row.allocated
        return row.allocated


def _take(shares: list[Share], scheme: Scheme, expected: int, giver: bytes, slot: int) -> tuple[int, int]:
    """Price and Wh of the one row that must cover exactly `expected`, or of none when that is zero."""
    found = [share for share in shares if share.allotment.scheme == scheme]
    if len(found) != (1 if expected else 0):
        raise VerificationError("days", f"slot {slot}: {scheme.name.lower()} should cover {expected} Wh in one row")
    if not found:
        return 0, 0
    row = found[0].shown.row
    if (row.allocated, row.limit, row.weight) != (expected, expected, 0):
        raise VerificationError(found[0].place, f"{row.allocated} Wh where {expected} Wh are due")
    if scheme == Scheme.SUPPLY and found[0].allotment.plant != giver:
        raise VerificationError(found[0].place, "the supply is not the issuer's")
    return row.price, row.allocated

"""What holds of a purchase's row, whether its buyer or its seller looks at it."""

from collections import Counter
from collections.abc import Sequence

from evidence.commands.kinds import CommitPurchase, DeclareSurplus
from evidence.verify.document import Document
from evidence.verify.records import Records, known
from evidence.verify.report import VerificationError
from evidence.verify.settlement import Share


def check_agreement(records: Records, document: Document, share: Share) -> tuple[CommitPurchase, DeclareSurplus]:
    """The purchase behind a row, of this plant, for this time, at the seller's price; and what it was sold from."""
    row, place = share.shown.row, share.place
    purchase = known(place, records.purchases, row.claim, "purchase")
    offer = known(place, records.offers, purchase.offer, "offer")
    declared = known(place, records.declarations, offer.declaration, "declaration")
    if purchase.declaration != offer.declaration:
        raise VerificationError(place, "the purchase is about another declaration than its offer")
    if offer.seller != declared.seller:
        raise VerificationError(place, "the offer is not the seller's whose surplus was declared")
    if declared.area != document.area:
        raise VerificationError(place, "the surplus is of another area")
    if declared.plant != share.allotment.plant or not declared.start <= share.allotment.slot < declared.end:
        raise VerificationError(place, "the purchase is about another plant or time")
    if purchase.point != row.point:
        raise VerificationError(place, "the purchase is for another metering point")
    if offer.price != row.price:
        raise VerificationError(place, f"priced at {row.price}, but {offer.price} was offered on the ledger")
    return purchase, declared


def check_proportion(share: Share, undelivered: int, limit: int) -> str:
    """A row that got its part of a surplus that was not enough for all. Returns how it was rounded."""
    row, allotment, place = share.shown.row, share.allotment, share.place
    if row.weight != undelivered or row.limit:
        raise VerificationError(place, f"a weight of {row.weight} where {undelivered} Wh are undelivered")
    rest = allotment.available - allotment.limit
    if allotment.allocated != allotment.available or rest < 0:
        raise VerificationError(place, "surplus was left over although somebody went short")
    exact = rest * row.weight // allotment.weight
    if row.allocated not in (exact, exact + 1) or row.allocated > limit:
        raise VerificationError(place, f"{row.allocated} Wh where {exact} or {exact + 1} Wh are due")
    return "rounded down" if row.allocated == exact else "rounded up"


def check_once(shares: Sequence[Share]) -> None:
    claims = Counter(share.shown.row.claim for share in shares)
    for share in shares:
        if claims[share.shown.row.claim] > 1:
            raise VerificationError(share.place, "a purchase has two rows in one slot")

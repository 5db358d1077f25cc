"""What settlement does once its root is on the ledger: purchases know what was delivered, dues follow."""

from collections import Counter

from apps.accounting.models import EntryKind
from apps.accounting.services import Side, book
from apps.ledger.consumers import Consumer, Told
from apps.ledger.standing import confirm, reject
from apps.offers.models import Purchase
from apps.settlement import allocations
from apps.settlement.choices import Scheme
from apps.settlement.models import Settlement
from evidence.commands.kinds import RecordSettlement
from market_math.money import amount
from market_math.slots import day_bounds


def _deliver(told: Told) -> None:
    for settlement in Settlement.objects.filter(command_id=told.id).select_related("area"):
        book_deliveries(settlement)


def book_deliveries(settlement: Settlement) -> None:
    """Set what each purchase of the day received, and take back the due for what was not delivered."""
    area = settlement.area
    start, end = day_bounds(settlement.day, area.zone)
    delivered: Counter[int] = Counter()
    for row in allocations.read(area.pk, [settlement.pk], start, end):
        if row.scheme == Scheme.PURCHASE:
            delivered[row.claim] += row.allocated
    purchases = Purchase.objects.filter(
        offer__declaration__area=area, offer__declaration__day=settlement.day, ledger_state="confirmed"
    ).select_related("buyer", "offer__declaration__seller")
    for purchase in purchases:
        before = purchase.energy_wh if purchase.delivered_wh is None else purchase.delivered_wh
        lacking = before - delivered[purchase.pk]
        nano = amount(lacking, purchase.price_micro)
        book(
            area=area,
            kind=EntryKind.UNDELIVERED,
            reference=bytes(purchase.ledger_id),
            version=settlement.version,
            day=settlement.day,
            energy_wh=lacking,
            sides=[Side(purchase.buyer, -nano), Side(purchase.offer.declaration.seller, nano)],
        )
        purchase.delivered_wh = delivered[purchase.pk]
    Purchase.objects.bulk_update(purchases, ["delivered_wh"])


CONSUMER = Consumer(
    name="settlement",
    confirmed={RecordSettlement: confirm(Settlement, _deliver)},
    rejected={RecordSettlement: reject(Settlement)},
)

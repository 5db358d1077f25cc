"""What settlements say that the ledger should hold."""

from django.db.models import Exists, OuterRef, QuerySet

from apps.ledger.choices import LedgerState
from apps.ledger.reconcilers import Expected, Reconciler
from apps.settlement.models import Settlement
from evidence.commands.kinds import RecordSettlement
from ledger_adapters.contract import records
from market_math.slots import day_number


def _settlements(ledger: str) -> QuerySet[Settlement]:
    later = Settlement.objects.filter(
        area=OuterRef("area"), day=OuterRef("day"), version__gt=OuterRef("version"), ledger_state=LedgerState.CONFIRMED
    )
    settlements = Settlement.objects.filter(area__utility__ledger=ledger).select_related("area")
    return settlements.annotate(superseded=Exists(later))


def _settlement(settlement: Settlement) -> Expected | None:
    if settlement.superseded:  # type: ignore[attr-defined]
        return None
    ids = (bytes(settlement.area.ledger_id), day_number(settlement.day))
    return Expected(records.Settlement, ids, {"version": settlement.version, "root": bytes(settlement.root)})


RECONCILER = Reconciler("settlements", Settlement, _settlements, _settlement, {RecordSettlement: "command_id"})

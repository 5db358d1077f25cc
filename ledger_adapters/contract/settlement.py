"""Settlement roots and invoices: versions only rise, energy adds up, a number is used once."""

from evidence.commands.kinds import RecordInvoice, RecordSettlement
from evidence.hashing import ZERO
from ledger_adapters.contract.errors import Code
from ledger_adapters.contract.kind import Context, Kind, View, require
from ledger_adapters.contract.records import Domain, Invoice, Participant, Settlement
from ledger_adapters.contract.registry import active_participant


def _settle(fields: RecordSettlement, view: View, context: Context) -> None:
    stands = view.find(Settlement, fields.area, fields.day)
    version, root = (stands.version, stands.root) if stands else (0, ZERO)
    require(fields.version == version + 1, Code.VERSION_NOT_NEXT)
    require(fields.previous == root, Code.OTHER_PREVIOUS_ROOT)
    require(fields.produced == fields.allocated + fields.fed_in, Code.DOES_NOT_ADD_UP)
    require(fields.consumed == fields.allocated + fields.supplied, Code.DOES_NOT_ADD_UP)
    view.put(Settlement(fields.version, fields.root), fields.area, fields.day)


def _invoice(fields: RecordInvoice, view: View, context: Context) -> None:
    active_participant(view, fields.issuer)
    require(fields.number > 0, Code.NUMBER_ZERO)
    ids = (fields.issuer, fields.series, fields.number)
    require(view.find(Invoice, *ids) is None, Code.NUMBER_TAKEN)
    view.put(Invoice(fields.document, fields.corrects), *ids)


KINDS = (
    Kind(
        RecordSettlement,
        domain=lambda f: Domain.key(Settlement.TABLE, f.area, f.day),
        reads=lambda f: (Settlement.key(f.area, f.day),),
        rule=_settle,
        by_utility=True,
    ),
    Kind(
        RecordInvoice,
        domain=lambda f: Domain.key(Invoice.TABLE, f.issuer, f.series),
        reads=lambda f: (Participant.key(f.issuer), Invoice.key(f.issuer, f.series, f.number)),
        rule=_invoice,
        by_utility=True,
    ),
)

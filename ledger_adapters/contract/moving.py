"""From one ledger to another: the old one is closed, the new one takes its entries over and is then sealed for ever."""

from dataclasses import replace

from evidence.commands import Fields
from evidence.commands.kinds import CloseLedger, OpenImport, SealImport
from evidence.hashing import ZERO
from ledger_adapters.contract.errors import Code
from ledger_adapters.contract.kind import Context, Kind, Signatory, View, require
from ledger_adapters.contract.records import Closing, Domain, Genesis, Import, OldLedger

# What every command looks at before anything of its own.
GATE = (Import.key(), Closing.key())


def check_gate(fields: Fields, view: View) -> None:
    """A closed ledger takes nothing more; while an import is open, only its sealing."""
    require(view.find(Closing) is None, Code.LEDGER_CLOSED)
    found = view.find(Import)
    require(found is None or not found.is_open or isinstance(fields, SealImport), Code.IMPORT_OPEN)


def _domain(fields: Fields) -> bytes:
    return Domain.key(Import.TABLE)


def _both_parties(fields: Fields, view: View, context: Context) -> tuple[Signatory, ...]:
    genesis = view.find(Genesis)
    assert genesis is not None, "no command meets a ledger without a genesis record"  # noqa: S101
    return Signatory(genesis.utility), Signatory(genesis.community)


def _open(fields: OpenImport, view: View, context: Context) -> None:
    require(view.find(Import) is None, Code.IMPORT_OVER)
    ledgers = fields.ledgers
    named = 0 < len(ledgers) == len(fields.separators) == len(set(ledgers)) and ZERO not in ledgers
    require(named, Code.BAD_OLD_LEDGERS)
    for ledger, previous, separator in zip(ledgers, (ZERO, *ledgers), fields.separators, strict=False):
        view.put(OldLedger(previous, separator), ledger)
    view.put(Import(ledgers[-1], 0, ZERO, 0, ZERO))


def _seal(fields: SealImport, view: View, context: Context) -> None:
    found = view.get(Import, (), Code.IMPORT_NOT_OPEN)
    require(found.is_open, Code.IMPORT_OVER)
    require((fields.count, fields.head) == (found.count, found.head), Code.OTHER_ENTRIES)
    view.put(replace(found, sealed_at=context.time, root=fields.root))


def _close(fields: CloseLedger, view: View, context: Context) -> None:
    view.put(Closing(fields.successor, context.time))


KINDS = (
    Kind(
        OpenImport,
        domain=_domain,
        reads=lambda f: (Genesis.key(), *map(OldLedger.key, f.ledgers)),
        rule=_open,
        signers=_both_parties,
    ),
    Kind(SealImport, domain=_domain, reads=lambda f: (Genesis.key(),), rule=_seal, signers=_both_parties),
    Kind(CloseLedger, domain=_domain, reads=lambda f: (Genesis.key(),), rule=_close, signers=_both_parties),
)

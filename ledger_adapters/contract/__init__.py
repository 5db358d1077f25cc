"""The rules of the market: a pure function from commands, the state they may see and a time to writes and outcomes."""

from ledger_adapters.contract.core import Outcome, Prepared, Result, apply_batch, domain_of, prepare, preview
from ledger_adapters.contract.errors import Code, ContractError
from ledger_adapters.contract.imports import ImportRefused, PreparedImport, apply_import, prepare_import, replay_import
from ledger_adapters.contract.records import Genesis

__all__ = [
    "Code",
    "ContractError",
    "Genesis",
    "ImportRefused",
    "Outcome",
    "Prepared",
    "PreparedImport",
    "Result",
    "apply_batch",
    "apply_import",
    "domain_of",
    "prepare",
    "prepare_import",
    "preview",
    "replay_import",
]

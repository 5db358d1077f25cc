"""What every ledger has to pass: the same commands give the same outcomes, events and state as the contract's core."""

from ledger_adapters.conformance.adapter import AdapterConformance, Bench
from ledger_adapters.conformance.contract import Comparison, Difference, Trial, run
from ledger_adapters.conformance.sequences import Sequence

__all__ = ["AdapterConformance", "Bench", "Comparison", "Difference", "Sequence", "Trial", "run"]

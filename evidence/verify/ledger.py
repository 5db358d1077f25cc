"""The commands of a bundle and their proof, which must be of the kind of ledger that is trusted."""

from evidence.bundle import EmbeddedLog, FabricLog, Log, QuorumLog
from evidence.trust import AnyTrust, EmbeddedTrust, FabricTrust, QuorumTrust
from evidence.verify import embedded, fabric, quorum
from evidence.verify.proven import Proven
from evidence.verify.report import Check, VerificationError


def read_log(log: Log, trust: AnyTrust) -> tuple[list[Proven], Check]:
    match log, trust:
        case EmbeddedLog(), EmbeddedTrust():
            return embedded.read_log(log, trust)
        case QuorumLog(), QuorumTrust():
            return quorum.read_log(log, trust)
        case FabricLog(), FabricTrust():
            return fabric.read_log(log, trust)
        case _:
            message = f"the proof is of a ledger of kind {log.kind}, what is trusted is one of kind {trust.kind}"
            raise VerificationError("ledger.kind", message)

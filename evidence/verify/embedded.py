"""The log of an embedded ledger: an inclusion path to the root of a signed checkpoint."""

from evidence import merkle
from evidence.bundle import EmbeddedLog
from evidence.checkpoint import CheckpointError, open_note, origin
from evidence.commands import Command, CommandError
from evidence.journal import leaf_hash
from evidence.trust import EmbeddedTrust
from evidence.verify.proven import Proven
from evidence.verify.report import Check, VerificationError


def read_log(log: EmbeddedLog, trust: EmbeddedTrust) -> tuple[list[Proven], Check]:
    try:
        checkpoint = open_note(log.checkpoint, origin(trust.ledger), trust.checkpoint_key)
    except CheckpointError as error:
        raise VerificationError("ledger.checkpoint", str(error)) from None
    proven, leaves = [], []
    for i, logged in enumerate(log.commands):
        place = f"ledger.commands[{i}]"
        try:
            command = Command.from_bytes(logged.envelope)
        except CommandError as error:
            raise VerificationError(place, str(error)) from None
        proven.append(Proven(place, command, logged.index, logged.origin))
        try:
            leaf = leaf_hash(logged.index, logged.time, 0, command.id, logged.envelope, logged.origin)
            leaves.append((logged.index, leaf))
        except ValueError as error:
            raise VerificationError("ledger.path", str(error)) from None
    try:
        root = merkle.root_from_path(leaves, log.path)
    except ValueError as error:
        raise VerificationError("ledger.path", str(error)) from None
    if root != checkpoint.root or log.path.size != checkpoint.size:
        raise VerificationError("ledger", "the commands are not in the log that the checkpoint signs")
    text = f"{len(proven)} commands are in the log of {checkpoint.size} entries, signed by its one operator"
    return proven, Check("ledger", text)

"""What can go wrong between us and a ledger. The type decides what happens next."""


class LedgerError(Exception):
    """Anything that an adapter raises."""


class Misconfigured(LedgerError):
    """The settings do not fit the ledger; the message names the setting."""


class BadKeys(Misconfigured):
    """What is in `KEYS` is not as it must be; the message names the folder or the file."""


class NotAgreed(Misconfigured):
    """A party has not agreed to the ledger's first record yet; `digest` is its SHA-256. Founding can be tried again."""

    def __init__(self, message: str, digest: bytes) -> None:
        super().__init__(message)
        self.digest = digest


class Transient(LedgerError):
    """The ledger was not reached, and nothing was done: try the same transaction again later."""


class OutcomeUnknown(LedgerError):
    """The ledger may or may not have taken the transaction: ask by its id before sending anything else."""


class Conflict(LedgerError):
    """The transaction was not applied and never will be: its commands have to be prepared anew."""


class Reorganised(LedgerError):
    """What was final is gone: somebody has to look before anything is heard again."""


class Rejected(LedgerError):
    """The ledger refused the transaction as a whole, for ever. Commands refused one by one are outcomes, not errors."""

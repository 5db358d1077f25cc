from ledger_adapters.contract import Code


class Refused(Exception):
    """The contract would reject the command; nothing was written."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


class Declined(Exception):
    """A rule of this installation does not allow it; the message says why, in the reader's language."""


class NotTaken(Declined):
    """Commands of this kind do not come from outside; see `apps.ledger.intake`."""

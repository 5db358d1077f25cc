from ledger_adapters.contract import Code


class Refused(Exception):
    """The contract would reject the command; nothing was written."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


class NotTaken(Exception):
    """No app takes commands of this kind from outside; see `apps.ledger.intake`."""

"""What can go wrong between us and a certificate authority."""

from collections.abc import Iterable

from ledger_adapters.exceptions import LedgerError


class Refused(LedgerError):
    """The authority's answer is no. `errors`: its codes and messages; `status` is that of HTTP."""

    def __init__(self, status: int, errors: Iterable[tuple[int, str]]) -> None:
        self.status = status
        self.errors = tuple(errors)
        said = "; ".join(f"{message} (code {code})" for code, message in self.errors)
        super().__init__(f"the authority refuses: {said or 'it gives no reason'} (HTTP {status})")


class Unreachable(LedgerError):
    """The authority was not reached, or did not answer in time: what was asked may have been done or not."""


class HfcFailed(LedgerError):
    """The process that runs hfc ended without an answer."""

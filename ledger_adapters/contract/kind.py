"""How the rules of a kind of command are written down, and the records that they see."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from evidence.commands import Fields
from evidence.keys import PublicKey
from ledger_adapters.contract.errors import Code, ContractError
from ledger_adapters.contract.records import Record

F = TypeVar("F", bound=Fields)
R = TypeVar("R", bound=Record)


class View:
    """Records as one command sees them: only those its kind declares, so that adapters can fetch them at once."""

    def __init__(self, values: Mapping[bytes, bytes | None]) -> None:
        self._values = values
        self.writes: dict[bytes, bytes] = {}

    def at(self, record: type[R], key: bytes) -> R | None:
        value = self.writes.get(key) or self._values[key]
        return record.decode(value) if value is not None else None

    def find(self, record: type[R], *ids: bytes | int) -> R | None:
        return self.at(record, record.key(*ids))

    def get(self, record: type[R], ids: Sequence[bytes | int], missing: Code) -> R:
        found = self.find(record, *ids)
        if found is None:
            raise ContractError(missing)
        return found

    def put(self, value: Record, *ids: bytes | int) -> None:
        self.writes[value.key(*ids)] = value.encode()


@dataclass(frozen=True, slots=True)
class Context:
    """What a rule knows besides the fields: the command's id, the ledger time, and the keys that signed it."""

    id: bytes
    time: int
    signers: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Signatory:
    """Whose signature is expected; a wallet signs EIP-712 typed data, everybody else the command's own digest."""

    key: PublicKey
    is_wallet: bool = False


def _nobody(fields: Any, view: View, context: Context) -> tuple[Signatory, ...]:
    return ()


@dataclass(frozen=True)
class Kind(Generic[F]):
    """How a kind of command is checked.

    `domain` gives the key of its conflict domain, `reads` the state keys that `signers` and `rule` may look at.
    `signers` gives those whose signatures the envelope must carry, in order; `by_utility` asks for the operator's
    signature over the batch. `rule` raises `ContractError` or writes to the view.
    """

    fields: type[F]
    domain: Callable[[F], bytes]
    reads: Callable[[F], Iterable[bytes]]
    rule: Callable[[F, View, Context], None]
    signers: Callable[[F, View, Context], tuple[Signatory, ...]] = _nobody
    by_utility: bool = False


def require(condition: bool, code: Code) -> None:
    if not condition:
        raise ContractError(code)

"""What the chaincode answers and announces, as canonical ABI. The field lists run in parallel."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

from evidence.abi import DynamicBytes, EncodingError, FixedBytes, Integer, ListOf, Struct
from evidence.commands.envelope import MOST_COMMANDS
from ledger_adapters.contract import Code, Outcome

EVENT = "outcomes"
IMPORTED = "imported"
MOST_KEYS = 10_000

_Ids = Annotated[tuple[bytes, ...], ListOf(FixedBytes(), MOST_COMMANDS)]
_Codes = Annotated[tuple[int, ...], ListOf(Integer(32, False), MOST_COMMANDS)]
_Times = Annotated[tuple[int, ...], ListOf(Integer(64, False), MOST_COMMANDS)]
_Envelopes = Annotated[tuple[bytes, ...], ListOf(DynamicBytes(), MOST_COMMANDS)]
_Values = Annotated[tuple[bytes, ...], ListOf(DynamicBytes(), MOST_KEYS)]


@dataclass(frozen=True, slots=True)
class SubmitResponse(Struct):
    """What `submit` returns: the outcome of each command of the batch, in their order."""

    ids: _Ids
    codes: _Codes
    times: _Times

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Self:
        return cls(tuple(o.id for o in outcomes), tuple(int(o.code) for o in outcomes), tuple(o.time for o in outcomes))

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Without the envelopes, which the caller has."""
        rows = zip(self.ids, self.codes, self.times, strict=True)
        return tuple(Outcome(id, Code(code), time, b"") for id, code, time in rows)


@dataclass(frozen=True, slots=True)
class OutcomesEvent(Struct):
    """Payload of the event `outcomes`, of which a transaction has at most one: what was new in it, with envelopes."""

    ids: _Ids
    codes: _Codes
    times: _Times
    envelopes: _Envelopes

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Self:
        return cls(*_columns(outcomes))

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        return _rows(self)


@dataclass(frozen=True, slots=True)
class ImportedEvent(OutcomesEvent):
    """Payload of the event `imported`: the entries that were taken over, each with the ledger that it comes from."""

    ledgers: _Ids

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Self:
        ids, codes, times, envelopes = _columns(outcomes)
        return cls(ids, codes, times, envelopes, tuple(outcome.origin for outcome in outcomes))

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        rows = zip(_rows(self), self.ledgers, strict=True)
        return tuple(replace(outcome, origin=ledger) for outcome, ledger in rows)


def _columns(outcomes: Sequence[Outcome]) -> tuple[Any, ...]:
    return (
        tuple(o.id for o in outcomes),
        tuple(int(o.code) for o in outcomes),
        tuple(o.time for o in outcomes),
        tuple(o.envelope for o in outcomes),
    )


def _rows(event: OutcomesEvent) -> tuple[Outcome, ...]:
    rows = zip(event.ids, event.codes, event.times, event.envelopes, strict=True)
    return tuple(Outcome(id, Code(code), time, envelope) for id, code, time, envelope in rows)


ANNOUNCED: dict[str, type[OutcomesEvent]] = {EVENT: OutcomesEvent, IMPORTED: ImportedEvent}


@dataclass(frozen=True, slots=True)
class ReadResponse(Struct):
    """What `read` returns: the value of each key in their order, empty where there is none."""

    values: _Values


def join_keys(keys: Sequence[bytes]) -> bytes:
    """The argument of `read`."""
    return b"".join(keys)


def split_keys(joined: bytes) -> list[bytes]:
    """Raises `EncodingError` unless these are whole keys of 32 bytes, at most `MOST_KEYS`."""
    if len(joined) % 32 or len(joined) > 32 * MOST_KEYS:
        raise EncodingError(f"not 32-byte keys, or more than {MOST_KEYS} of them")
    return [joined[at : at + 32] for at in range(0, len(joined), 32)]

"""A command that breaks several rules at once is told the first of them, in the one order of all ledgers."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evidence.commands import Command
from evidence.keys import SoftwareKey
from ledger_adapters.contract import Code
from ledger_adapters.contract.records import AppliedId, State, UsedKey
from tests.vectors.contract_cases import ROTATE_DEVICE
from tests.vectors.market import (
    ALICE,
    MARKET,
    METER,
    NEW_METER,
    NOW,
    OLD_METER,
    UTILITY,
    WORLD,
    Market,
    command,
    device,
    ident,
    records,
)


@dataclass
class Attempt:
    """A change of a device's key, which operator and device sign, on its way to being broken."""

    command: Command = field(default_factory=lambda: Command(MARKET, ident("nonce"), ROTATE_DEVICE))
    state: dict[bytes, bytes] = field(default_factory=lambda: dict(WORLD))
    operator: SoftwareKey | None = UTILITY
    signers: tuple[SoftwareKey, ...] = (METER,)
    spoil_signature: bool = False
    device_state: State = State.ACTIVE
    revoked_at: int = 0
    in_grace: bool = False
    used: bool = False
    known: bool = False
    cut: bool = False

    def outcome(self) -> Code:
        sent = self.command
        signed = command(sent.fields, *self.signers, market=sent.market, after=sent.after, valid_until=sent.valid_until)
        if self.spoil_signature:
            key, mark = signed.signatures[0]
            signed = replace(signed, signatures=((key, bytes(32) + mark[32:]), *signed.signatures[1:]))
        old = OLD_METER if self.in_grace else None
        found = device(state=self.device_state, revoked_at=self.revoked_at, old=old)
        state = {**self.state, **records((found, ident("device")))}
        if self.used:
            state.update(records((UsedKey(NOW), ident("device"), NEW_METER.public_key.id)))
        if self.known:
            state.update(records((AppliedId(sent.fields.KIND, NOW), signed.id)))
        content = signed.envelope.encode()
        return Market(state).code(content[:-1] if self.cut else signed, operator=self.operator)


def cut(attempt: Attempt) -> None:
    attempt.cut = True


def other_market(attempt: Attempt) -> None:
    attempt.command = replace(attempt.command, market=ident("other market"))


def known(attempt: Attempt) -> None:
    attempt.known = True


def expired(attempt: Attempt) -> None:
    attempt.command = replace(attempt.command, valid_until=NOW - 1)


def no_predecessor(attempt: Attempt) -> None:
    attempt.command = replace(attempt.command, after=ident("never applied"))


def no_operator(attempt: Attempt) -> None:
    attempt.operator = None


def signature_too_many(attempt: Attempt) -> None:
    attempt.signers = (*attempt.signers, ALICE)


def other_signer(attempt: Attempt) -> None:
    attempt.signers = (ALICE, *attempt.signers[1:])


def bad_signature(attempt: Attempt) -> None:
    attempt.spoil_signature = True


def idle_device(attempt: Attempt) -> None:
    attempt.device_state = State.SUSPENDED


def revoked(attempt: Attempt) -> None:
    attempt.revoked_at = NOW


def key_off_the_curve(attempt: Attempt) -> None:
    attempt.command = replace(attempt.command, fields=replace(ROTATE_DEVICE, x=ident("x")))


def used_key(attempt: Attempt) -> None:
    attempt.used = True


def in_grace(attempt: Attempt) -> None:
    attempt.in_grace = True


FAULTS: tuple[tuple[Callable[[Attempt], None], Code], ...] = (
    (cut, Code.BAD_ENCODING),
    (other_market, Code.WRONG_MARKET),
    (known, Code.ALREADY_APPLIED),
    (expired, Code.EXPIRED),
    (no_predecessor, Code.PREDECESSOR_MISSING),
    (no_operator, Code.OPERATOR_SIGNATURE),
    (signature_too_many, Code.SIGNATURE_COUNT),
    (other_signer, Code.WRONG_SIGNER),
    (bad_signature, Code.BAD_SIGNATURE),
    (idle_device, Code.DEVICE_INACTIVE),
    (revoked, Code.KEY_REVOKED),
    (key_off_the_curve, Code.BAD_KEY),
    (used_key, Code.SAME_KEY),
    (in_grace, Code.GRACE_RUNNING),
)


def outcome_of(faults: set[int]) -> Code:
    attempt = Attempt()
    for index in faults:
        FAULTS[index][0](attempt)
    return attempt.outcome()


@given(st.sets(st.integers(0, len(FAULTS) - 1)))
@example(set())
@example(set(range(len(FAULTS))))
def test_the_first_fault_is_the_outcome(faults: set[int]) -> None:
    assert outcome_of(faults) is (FAULTS[min(faults)][1] if faults else Code.APPLIED)


@pytest.mark.parametrize("first", range(len(FAULTS)), ids=lambda i: FAULTS[i][1].name)
def test_each_check_comes_before_all_that_follow(first: int) -> None:
    assert outcome_of(set(range(first, len(FAULTS)))) is FAULTS[first][1]

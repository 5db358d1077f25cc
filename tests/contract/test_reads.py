"""Adapters fetch at once what a batch declares; a rule that looked elsewhere would fail on every ledger but ours."""

import pytest

from evidence.commands import Fields
from evidence.commands.kinds import OpenImport, RegisterDevice
from evidence.keys import PublicKey
from ledger_adapters.contract import Code, apply_batch, domain_of, prepare
from ledger_adapters.contract.records import OldLedger, UsedKey
from tests.vectors.contract_cases import SUCCEEDING, of, state_for
from tests.vectors.market import NOW, batch, run

each_kind = pytest.mark.parametrize("fields", [fields for fields, _ in SUCCEEDING], ids=lambda f: type(f).__name__)


def written_unread(fields: Fields) -> set[bytes]:
    """A device that is new has no used keys, so there is nothing to look up before its first is written; nor has a
    ledger without an import old ones.
    """
    if isinstance(fields, RegisterDevice):
        return {UsedKey.key(fields.device, PublicKey(fields.algorithm, fields.x, fields.y).id)}
    if isinstance(fields, OpenImport):
        return {OldLedger.key(ledger) for ledger in fields.ledgers}
    return set()


@each_kind
def test_a_command_needs_each_key_that_it_declares_and_no_other(fields: Fields) -> None:
    prepared = prepare(batch([of(fields)]))
    values = {key: state_for(fields).get(key) for key in prepared.reads}
    assert apply_batch(prepared, values, NOW).outcomes[0].code is Code.APPLIED
    for key in prepared.reads - written_unread(fields):
        with pytest.raises(KeyError):
            apply_batch(prepared, {other: value for other, value in values.items() if other != key}, NOW)


@each_kind
def test_a_command_writes_only_where_it_reads_and_in_its_domain(fields: Fields) -> None:
    command = of(fields)
    writes = run(state_for(fields), batch([command]), NOW).writes
    assert writes.keys() <= prepare(batch([command])).reads
    assert domain_of(command) in writes

"""Totals of days that a TPM signs, before and after its key was exchanged."""

from pathlib import Path

import pytest

from evidence.commands.kinds import RotateDeviceKey
from evidence.keys import PublicKey
from ledger_adapters.contract import Code
from ledger_adapters.contract.records import DailyEnergy
from ledger_adapters.embedded.store import MemoryStore
from meter_agent.daily import Energy, report
from meter_agent.destinations import Relay
from meter_agent.keys import Place, open_key, open_keys
from meter_agent.keys.settings import TpmKey
from tests.adapters.embedded import Bench
from tests.meter_agent.daily import destination, registered
from tests.tpm.emulator import Emulator

pytestmark = pytest.mark.tpm

CHANGED = 20_600  # the first day of the second key
ENERGY = Energy(5_200, 400, 3_300)


def test_a_tpm_signs_what_reaches_the_ledger_over_an_exchange_of_its_key(tpm: Emulator, key_folder: Path) -> None:
    settings = TpmKey(key_folder / "device.tpm", tpm.tcti)
    keys = open_keys(settings)
    keys.make()
    bench = Bench(MemoryStore())
    first = open_key(settings)
    device = registered(bench.ledger, first)
    to = destination(bench.ledger, Relay("http://127.0.0.1:9"))

    def code_of(day: int, place: Place) -> Code:
        transaction = bench.apply(report(to, device, day, ENERGY, open_key(settings, place)))
        (outcome,) = bench.ledger.outcome(transaction.id) or ()
        return outcome.code

    def reporter_of(day: int) -> bytes | None:
        key = DailyEnergy.key(device, day)
        value = bench.ledger.read([key])[key]
        return None if value is None else DailyEnergy.decode(value).signed_by

    assert code_of(CHANGED - 2, Place.CURRENT) == Code.APPLIED
    second: PublicKey = keys.make_next()
    fields = RotateDeviceKey(device, second.algorithm, second.x, second.y, CHANGED, 30)
    bench.apply(bench.command(fields).signed_by(bench.genesis.ledger, first))
    keys.promote(second.id)

    assert code_of(CHANGED - 1, Place.CURRENT) == Code.OUTSIDE_KEY_TIME
    assert code_of(CHANGED - 1, Place.OLD) == Code.APPLIED
    assert code_of(CHANGED, Place.CURRENT) == Code.APPLIED
    signers = [reporter_of(day) for day in (CHANGED - 2, CHANGED - 1, CHANGED)]
    assert signers == [first.public_key.id, first.public_key.id, second.id]

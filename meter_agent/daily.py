"""Totals of days as commands for a ledger: the box signs them itself, and nobody on the way can change them.

A day is reported once all its slots are there, for every point of the device. The command's nonce follows from device
and day, so that a box which has forgotten what it sent makes the same command again, and the ledger knows it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from evidence.abi import U32, Bytes32, Struct
from evidence.commands import Command
from evidence.commands.kinds import ReportDailyEnergy
from evidence.hashing import ZERO, tagged
from evidence.keys import Signer
from evidence.readings import Register
from meter_agent.destinations import Ledger
from meter_agent.journal import DayTotal

# What a report consists of.
REPORTED = (Register.GENERATION, Register.GRID_IMPORT, Register.GRID_EXPORT)


@dataclass(frozen=True, slots=True)
class Energy:
    """Of a local day, in Wh."""

    generated: int
    imported: int
    exported: int


@dataclass(frozen=True, slots=True)
class _Nonce(Struct):
    device: Bytes32
    day: U32
    corrects: Bytes32


def energy_of(totals: Sequence[DayTotal], expected: Collection[tuple[bytes, Register]], seconds: int) -> Energy | None:
    """Sums over the points; None unless each of the `expected` registers was read for all `seconds` of the day."""
    found = {(total.point, total.register): total for total in totals}
    if any(key not in found or found[key].seconds != seconds for key in expected):
        return None
    sums = dict.fromkeys(REPORTED, 0)
    for point, register in expected:
        sums[register] += found[point, register].energy
    return Energy(*(sums[register] for register in REPORTED))


def report(destination: Ledger, device: bytes, day: int, energy: Energy, key: Signer) -> Command:
    """The signed command. `day` in days since 1970-01-01."""
    fields = ReportDailyEnergy(device, day, energy.generated, energy.imported, energy.exported, ZERO)
    nonce = tagged("em/daily-nonce/1", _Nonce(device, day, ZERO).encode())
    return Command(destination.market, nonce, fields).signed_by(destination.id, key)

"""A box that reports whole days to a ledger, and what has to be there afterwards: the same on every ledger."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from evidence.commands import Command, Fields
from evidence.commands.kinds import RegisterDevice, RegisterParticipant
from evidence.hashing import ZERO
from evidence.keys import Algorithm, Signer, SoftwareKey
from ledger_adapters.base import LedgerAdapter
from ledger_adapters.contract import Code
from ledger_adapters.contract.records import DailyEnergy
from meter_agent.config import Config
from meter_agent.daily import Energy
from meter_agent.destinations import Fabric, Ledger, Quorum, Relay
from meter_agent.household import Household
from meter_agent.journal import Journal
from meter_agent.link import Allowance, open_client
from meter_agent.reporter import Reporter
from meter_agent.senders import LedgerSender, open_sender
from meter_agent.simulator import simulate_day
from meter_agent.slots import day_bounds, day_number
from tests.meter_agent.support import BERLIN, DEVICE, KEY, PROFILE, house, make_config, shop

# The clocks change on the second of them.
DAYS = (date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30))
AFTER = day_bounds(DAYS[-1], BERLIN)[1]


def energy_on(day: date) -> Energy:
    """What the house and the shop did, from the households' own running sums, to the Wh of each counter."""
    start, end = day_bounds(day, BERLIN)
    home, market = Household(1, 3500, 8.5, BERLIN), Household(2, 9000, 0, BERLIN)
    whole = home.energies(end).plus(home.energies(start), times=-1)
    bought = market.energies(end).imported - market.energies(start).imported
    return Energy(whole.generated // 1000, (whole.imported + bought) // 1000, whole.exported // 1000)


def is_about(found: Energy, expected: Energy) -> bool:
    """A running sum starts with its first reading: rounding moves a day by 1 Wh per point at most."""
    pairs = zip(
        (found.generated, found.imported, found.exported),
        (expected.generated, expected.imported, expected.exported),
        strict=True,
    )
    return all(abs(one - other) <= 2 for one, other in pairs)


def registered(ledger: LedgerAdapter, key: Signer = KEY) -> bytes:
    """A device on the ledger, owned by a new participant."""
    genesis, device, owner = ledger.genesis(), secrets.token_bytes(32), secrets.token_bytes(32)
    person = SoftwareKey.generate(Algorithm.P256).public_key
    public = key.public_key
    fields: tuple[Fields, ...] = (
        RegisterParticipant(owner, 3, person.algorithm, person.x, person.y, 1, ZERO),
        RegisterDevice(device, owner, public.algorithm, public.x, public.y, ZERO, ()),
    )
    commands = [Command(genesis.market, secrets.token_bytes(32), each) for each in fields]
    transaction = ledger.prepare([command.envelope.encode() for command in commands])
    ledger.submit(transaction)
    outcomes = ledger.outcome(transaction.id)
    assert outcomes is not None
    assert [outcome.code for outcome in outcomes] == [Code.APPLIED, Code.APPLIED]
    return device


def destination(ledger: LedgerAdapter, way: Relay | Quorum | Fabric) -> Ledger:
    genesis = ledger.genesis()
    return Ledger("ledger", genesis.ledger, genesis.market, way)


def read_days(config: Config, journal: Journal, days: tuple[date, ...] = DAYS) -> None:
    """The meters of the house and the shop, over Modbus, slot by slot."""

    async def work() -> None:
        for day in days:
            await simulate_day(config, PROFILE, journal, KEY, day, send=False)

    asyncio.run(work())


@dataclass
class Box:
    """An agent's reporter over a journal; `clock` stands after the days that were read."""

    config: Config
    journal: Journal
    to: Ledger
    key: SoftwareKey = KEY
    clock: Callable[[], float] = lambda: AFTER + 60

    def report(self, wrap: Callable[[LedgerSender], Any] = lambda sender: sender, attempts: int = 3) -> bool:
        return bool(self.use(lambda reporter: reporter.drain(attempts), wrap))

    def use(
        self, use: Callable[[Reporter], Awaitable[Any]], wrap: Callable[[LedgerSender], Any] = lambda sender: sender
    ) -> Any:
        async def work() -> Any:
            allowance = Allowance(self.journal, None)
            async with open_client(allowance) as client:
                sender = open_sender(self.to, client, allowance)
                try:
                    reporter = Reporter(
                        self.to,
                        self.config,
                        self.journal,
                        lambda day: self.key,
                        wrap(sender),
                        allowance,
                        self.clock,
                        shortest_pause=0.1,
                    )
                    return await use(reporter)
                finally:
                    await sender.close()

        return asyncio.run(work())

    @property
    def states(self) -> list[tuple[str, str, int | None]]:
        """Days with state and code, the latest first."""
        return [(each["day"], each["state"], each["code"]) for each in self.journal.status()["reports"]]


def box_config(folder: Path, device: bytes = DEVICE) -> Config:
    return replace(make_config(folder, "http://127.0.0.1:9", house(), shop()), device=device)


def on_ledger(ledger: LedgerAdapter, device: bytes, day: date) -> DailyEnergy | None:
    key = DailyEnergy.key(device, day_number(day))
    value = ledger.read([key])[key]
    return None if value is None else DailyEnergy.decode(value)


class Lost(Exception):
    """The box is gone before it could write down what the ledger said."""


class DyingSender:
    """Sends, and dies before the answer is written down."""

    def __init__(self, sender: LedgerSender) -> None:
        self.sender = sender

    async def send(self, *about: Any) -> Code:
        await self.sender.send(*about)
        raise Lost


def check_reports(ledger: LedgerAdapter, way: Relay | Quorum | Fabric, folder: Path) -> None:
    """Three days arrive once each and as they were read, although the box dies after it has sent the first."""
    device = registered(ledger)
    config = box_config(folder, device)
    with Journal(config.journal, device) as journal:
        read_days(config, journal)
        box = Box(config, journal, destination(ledger, way))
        with pytest.raises(Lost):
            box.report(DyingSender)
        assert on_ledger(ledger, device, DAYS[0]) is not None
        assert [state for _, state, _ in box.states] == ["waiting"] * 3
        assert box.report()
        assert [(day, state) for day, state, _ in box.states] == [(day.isoformat(), "done") for day in DAYS[::-1]]
        assert {code for _, _, code in box.states} <= {Code.APPLIED, Code.ALREADY_APPLIED}
        for day in DAYS:
            stands = on_ledger(ledger, device, day)
            assert stands is not None
            assert is_about(Energy(stands.generated, stands.imported, stands.exported), energy_on(day))
            assert stands.signed_by == KEY.public_key.id
        assert box.report(), "nothing is left"

        # Another key cannot speak for the device, and says so once.
        read_days(config, journal, (date(2026, 3, 31),))
        stranger = Box(config, journal, box.to, SoftwareKey.generate(), lambda: AFTER + 86_400 + 60)
        assert stranger.report()
        assert stranger.states[0] == ("2026-03-31", "refused", Code.WRONG_SIGNER)
        assert on_ledger(ledger, device, date(2026, 3, 31)) is None

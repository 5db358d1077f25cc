"""What a dear and slow line costs, and that a day never costs more than it may."""

import asyncio
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.readings import Reading
from meter_agent.destinations import Market
from meter_agent.journal import Journal
from meter_agent.link import DAY, Allowance, cost_of_exchange, open_client
from meter_agent.simulator import SetClock
from tests.meter_agent.slow_link import Line, slow_line
from tests.meter_agent.support import DEVICE, HOUSE, NOON, STEP, HeadEnd, make_config, make_uplink, store

MONTH = 30
PER_DAY = 20_000


def port_of(head_end: HeadEnd) -> int:
    port = urlsplit(head_end.address).port
    assert port is not None
    return port


def month_of_readings() -> list[Reading]:
    return [Reading(HOUSE, register, NOON + n * STEP, n % 977) for n in range(MONTH * 96) for register in (1, 2)]


def test_a_month_offline_arrives_over_a_line_of_9600_bits_with_stalls(
    tmp_path: Path, journal: Journal, head_end: HeadEnd
) -> None:
    store(journal, month_of_readings())

    async def work() -> Line:
        async with (
            slow_line(Line(port_of(head_end), delay=2, stalls_every=20_000, stall=20, speedup=40)) as line,
            open_client(Allowance(journal, None)) as client,
        ):
            uplink = make_uplink(replace(make_config(tmp_path), bytes_per_day=10**9), journal, client)
            uplink.destination = Market("market", line.address)
            assert await uplink.drain(3)
            return line

    line = asyncio.run(work())
    assert head_end.readings == month_of_readings()
    # At 1,200 bytes a second, about a minute and a half of a real line.
    assert line.carried < 110_000


def test_the_estimate_is_never_below_what_the_line_carried(tmp_path: Path, journal: Journal, head_end: HeadEnd) -> None:
    per_day = 10**8
    store(journal, month_of_readings()[: 2 * 96])
    clock = SetClock(NOON)
    allowance = Allowance(journal, per_day, clock)

    async def work() -> Line:
        async with slow_line(Line(port_of(head_end), delay=0, speedup=1000)) as line, open_client(allowance) as client:
            uplink = make_uplink(make_config(tmp_path), journal, client)
            uplink.destination = Market("market", line.address)
            assert await uplink.drain(1)
            return line

    line = asyncio.run(work())
    spent = allowance.most - allowance.left()
    assert line.carried <= spent <= line.carried * 1.3 + 600 * line.connections


@given(
    st.lists(
        st.tuples(st.integers(0, 4 * 3600), st.integers(200, 30_000)),
        min_size=1,
        max_size=60,
    )
)
def test_no_24_hours_cost_more_than_a_day_may(moves: list[tuple[int, int]]) -> None:
    """Whoever waits as long as it is told, and spends no more than it asked for."""
    spent: list[tuple[float, int]] = []
    clock = SetClock(NOON)
    allowance = Allowance(_Memory(), PER_DAY, clock)  # type: ignore[arg-type]
    for pause, cost in moves:
        clock.now += pause
        cost = min(cost, allowance.most)
        clock.now += allowance.pause_before(cost)
        assert allowance.pause_before(cost) == 0
        allowance.spend(cost)
        spent.append((clock.now, cost))
    for start, _ in spent:
        assert sum(cost for at, cost in spent if start <= at < start + DAY) <= PER_DAY


def test_the_allowance_survives_a_restart_and_a_clock_that_is_set_back(tmp_path: Path) -> None:
    clock = SetClock(NOON)
    with Journal(tmp_path / "journal", DEVICE) as journal:
        Allowance(journal, PER_DAY, clock).spend(4_000)
    with Journal(tmp_path / "journal", DEVICE) as journal:
        allowance = Allowance(journal, PER_DAY, clock)
        assert allowance.left() == 1_000
        clock.now -= 10 * DAY
        assert allowance.left() == 1_000
        clock.now += 10 * DAY + 86_400 // 15
        assert allowance.left() == 2_000
        assert 0 < allowance.pause_before(3_000) <= 86_400 / 15 + 1
        assert allowance.pause_before(10**9) <= 3 * 86_400 / 15 + 1


def test_without_a_budget_nothing_is_counted(journal: Journal) -> None:
    allowance = Allowance(journal, None)
    allowance.spend(10**12)
    assert allowance.pause_before(10**12) == 0
    assert journal.allowance() is None


def test_a_day_of_slots_costs_no_more_than_its_budget_and_loses_nothing(
    tmp_path: Path, head_end: HeadEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent's own loop over a day, the clock moved by its sleeps: batches grow instead of becoming more."""
    clock = SetClock(NOON)
    slept = asyncio.sleep

    async def sleep(seconds: float) -> None:
        clock.now += seconds
        await slept(0)

    monkeypatch.setattr("meter_agent.uplink.asyncio.sleep", sleep)
    with Journal(tmp_path / "journal", DEVICE) as journal:
        allowance = Allowance(journal, PER_DAY, clock)

        async def work() -> Line:
            async with slow_line(Line(port_of(head_end), delay=0, speedup=10**6)) as line:
                async with open_client(allowance) as client:
                    uplink = make_uplink(make_config(tmp_path), journal, client)
                    uplink.allowance = allowance
                    uplink.destination = Market("market", line.address)
                    for n in range(96):
                        clock.now = max(clock.now, NOON + (n + 1) * STEP)
                        store(journal, [Reading(HOUSE, register, NOON + n * STEP, n) for register in (1, 2)])
                        if allowance.pause_before(cost_of_exchange(1_200, line.address)) == 0:
                            assert await uplink.drain(1)
                    assert clock.now <= NOON + 97 * STEP
                    assert line.carried <= PER_DAY
                    assert await uplink.drain(1)
            return line

        asyncio.run(work())
    assert [reading.value for reading in head_end.readings if reading.register == 1] == list(range(96))
    assert 5 < len(head_end.stored) < 40


class _Memory:
    """What a journal keeps of an allowance."""

    def __init__(self) -> None:
        self.kept: tuple[int, int] | None = None

    def allowance(self) -> tuple[int, int] | None:
        return self.kept

    def set_allowance(self, left: int, at: int) -> None:
        self.kept = (left, at)

"""The agent itself asks a market that runs, with meters that answer; boxes that come at the same moment."""

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.cache import cache
from django.db import connection
from pytest_django.live_server_helper import LiveServer

from apps.metering.choices import EnrolmentState, MeterRole
from apps.metering.models import Device, EnrolmentCode
from apps.metering.services import enrolment as services
from meter_agent.config import read_config
from meter_agent.enrolment import Enroller
from meter_agent.finding import found_meters
from meter_agent.keys import open_keys, read_key_settings
from meter_agent.simulator import Simulation
from tests.meter_agent.support import PROFILE
from tests.metering.enrolling import Box, Market, make_enrolment


@pytest.fixture
def market(transactional_db: None) -> Market:
    cache.clear()
    return make_enrolment()


class Installer:
    """Does the next step whenever the box pauses, and asks it to stop where a test wants it."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.steps = 0

    async def pause(self, seconds: float) -> None:
        await asyncio.to_thread(self.step)

    def step(self) -> None:
        try:
            row = self.market.row
            if row.state == EnrolmentState.WAITING:
                generation, grid = row.meters.all()
                services.set_roles(row, {generation.pk: MeterRole.GENERATION, grid.pk: MeterRole.GRID})
                for meter, role in ((generation, MeterRole.GENERATION), (grid, MeterRole.GRID)):
                    services.set_points(row, role, {meter.pk: self.market.point})
                services.configure(row, self.market.clerk)
            elif row.state == EnrolmentState.CONFIGURED and services.is_tested(row):
                services.go_live(row, self.market.installer)
            self.steps += 1
        finally:
            connection.close()


def settings_file(folder: Path, port: int) -> Path:
    path = folder / "agent.toml"
    meters = "".join(
        f'[[meters]]\nhost = "127.0.0.1"\nport = {port}\nunit = {unit}\nmap = "sunspec203"\n' for unit in (2, 1)
    )
    path.write_text(f'key_file = "key/device.pem"\njournal = "state/journal.sqlite"\n{meters}')
    return path


async def enrol(market: Market, address: str, code: str, folder: Path) -> tuple[bytes, Path]:
    async with Simulation(PROFILE, host="127.0.0.1", port=0) as simulation, httpx.AsyncClient() as client:
        path = settings_file(folder, simulation.port)
        installer = Installer(market)
        discover = partial(found_meters, path, range(1, 4))
        enroller = Enroller(
            path, address, code, open_keys(read_key_settings(path)), discover, client, sleep=installer.pause
        )
        return await enroller.run(), path


def test_the_agent_gets_into_a_market_and_can_start(market: Market, live_server: LiveServer, tmp_path: Path) -> None:
    device, path = asyncio.run(enrol(market, live_server.url, market.code, tmp_path))
    row = market.row
    assert (row.state, row.live_by) == (EnrolmentState.LIVE, market.installer)
    assert bytes(Device.objects.get().ledger_id) == device
    config = read_config(path)
    (point,) = config.points
    assert (config.device, point.id) == (device, bytes(market.point.ledger_id))
    assert {role: meter.place[1] for role, meter in point.meters.items()} == {"generation": "2", "grid": "1"}
    assert [sorted(meter.energy) for meter in row.meters.all()] == [["export", "import"]] * 2
    assert all(sum(meter.energy.values()) > 0 for meter in row.meters.all())


def test_two_boxes_with_one_code_at_the_same_moment_are_not_both_let_in(market: Market) -> None:
    """Each over a connection of its own; the code is the first one's, and the others learn nothing."""
    boxes = [Box(market.code) for _ in range(6)]
    start = threading.Barrier(len(boxes))
    answers: list[Any] = [None] * len(boxes)

    def knock(index: int) -> None:
        try:
            start.wait()
            answers[index] = boxes[index].post().status_code
        except Exception as error:
            answers[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=knock, args=[index]) for index in range(len(boxes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [202] + [403] * 5
    bound = EnrolmentCode.objects.get().public_key
    winner = boxes[answers.index(202)]
    assert bound == winner.key.public_key
    assert winner.told() == {"state": "waiting"}


@pytest.fixture(autouse=True)
def no_rate(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("apps.metering.enrolment_api.EnrolmentThrottle.rate", "10000/min")
    yield

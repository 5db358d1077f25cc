"""The agent itself hands over to a new key, at a market that runs, and is stopped on the way."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.cache import cache
from django.db import connection
from pytest_django.live_server_helper import LiveServer

from apps.ledger.ledgers import DEFAULT, get_ledger
from apps.ledger.services.sweep import drain
from apps.metering.models import Device
from apps.metering.services.devices import register_device, revoke_all
from evidence.commands import Command
from evidence.commands.kinds import RotateDeviceKey
from meter_agent.config import Config, read_config
from meter_agent.keys import Keys, Place, open_keys
from meter_agent.rotation import GRACE_DAYS, NAME, RotationError, Rotator, key_in_time, read_rotation
from meter_agent.slots import day_number, local_day
from tests.market import make_market

NOON = 1_781_089_200  # 2026-06-10


class Stopped(Exception):
    """The box lost its power."""


class Box:
    def __init__(self, folder: Path, server: str) -> None:
        market = make_market({"alice": 0})
        self.path = folder / "agent.toml"
        self.path.write_text('key_file = "key/device.pem"\njournal = "state/journal.sqlite"\n')
        genesis = get_ledger(DEFAULT).genesis()
        (folder / "state").mkdir(mode=0o700)
        from meter_agent.keys import read_key_settings

        key = open_keys(read_key_settings(self.path)).make()
        point = market.points["alice"]
        self.device: Device = register_device(
            area=market.area, owner=market.utility, name="box", key=key, points=[point]
        )
        drain(DEFAULT)
        lines = [
            f'device = "{bytes(self.device.ledger_id).hex()}"',
            'time_zone = "Europe/Berlin"',
            f'[[destinations]]\nname = "market"\nkind = "market"\nserver = "{server}"',
            f'[[destinations]]\nname = "ledger"\nkind = "ledger"\nvia = "relay"\nserver = "{server}"',
            f'ledger = "{genesis.ledger.hex()}"\nmarket = "{genesis.market.hex()}"',
            f'[[points]]\nid = "{bytes(point.ledger_id).hex()}"\nsecret = "{"00" * 32}"',
            'grid = { host = "127.0.0.1", port = 9, unit = 1, map = "sunspec203" }',
        ]
        self.path.write_text(self.path.read_text() + "\n".join(lines) + "\n")

    @property
    def config(self) -> Config:
        return read_config(self.path)

    @property
    def keys(self) -> Keys:
        return open_keys(self.config.key)

    def rotate(self, pause: Callable[[], None], now: float = NOON) -> Any:
        async def sleep(seconds: float) -> None:
            await asyncio.to_thread(pause)

        async def work() -> Any:
            async with httpx.AsyncClient() as client:
                return await Rotator(self.config, self.keys, client, sleep, lambda: now).run()

        return asyncio.run(work())


def push() -> None:
    try:
        drain(DEFAULT)
    finally:
        connection.close()


@pytest.fixture
def box(transactional_db: None, live_server: LiveServer, tmp_path: Path) -> Box:
    cache.clear()
    return Box(tmp_path, live_server.url)


def test_the_new_key_signs_once_the_ledger_has_taken_it(box: Box) -> None:
    old = box.keys.held().keys[Place.CURRENT]
    done = box.rotate(push)
    held = box.keys.held().keys
    assert held[Place.OLD] == old
    assert held[Place.CURRENT].id == done.key
    today = day_number(local_day(NOON, box.config.time_zone))
    assert done.day == today + 1
    assert [key.public_key for key in box.device.keys.order_by("pk")] == [old, held[Place.CURRENT]]
    key_of = key_in_time(box.keys, box.config.journal.with_name(NAME))
    assert [key_of(today + n).public_key for n in (-1, 0, 1)] == [old, old, held[Place.CURRENT]]


def test_stopped_on_the_way_it_sends_the_same_again(box: Box) -> None:
    def stop() -> None:
        raise Stopped

    path = box.config.journal.with_name(NAME)
    with pytest.raises(Stopped):
        box.rotate(stop)
    begun = read_rotation(path)
    assert begun is not None
    assert not begun.is_done
    assert Place.OLD not in box.keys.held().keys
    drain(DEFAULT)
    # Days later, and yet the very same command.
    done = box.rotate(stop, NOON + 5 * 86_400)
    assert (done.key, done.day, done.envelope) == (begun.key, begun.day, begun.envelope)
    assert box.device.keys.count() == 2
    assert isinstance(Command.from_bytes(done.envelope).fields, RotateDeviceKey)


def test_the_next_exchange_waits_until_the_old_key_is_needed_no_more(box: Box) -> None:
    first = box.rotate(push)
    with pytest.raises(RotationError, match="still speaks about earlier days, until 2026-07-21"):
        box.rotate(push)
    # The ledger's own clock is not the box's: it still waits for the grace to end.
    with pytest.raises(RotationError, match="GRACE_RUNNING"):
        box.rotate(push, NOON + (GRACE_DAYS + 2) * 86_400)
    assert box.keys.held().keys[Place.CURRENT].id == first.key


def test_a_device_whose_key_is_revoked_gets_no_other(box: Box) -> None:
    current = box.keys.held().keys[Place.CURRENT]
    revoke_all(box.device)
    drain(DEFAULT)
    with pytest.raises(RotationError, match="KEY_REVOKED"):
        box.rotate(push)
    assert box.keys.held().keys[Place.CURRENT] == current
    assert read_rotation(box.config.journal.with_name(NAME)) is None

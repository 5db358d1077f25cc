import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from meter_agent.__main__ import main
from meter_agent.buses import Bus, BusConfig
from meter_agent.discover import Found, discover
from meter_agent.maps import MAPS
from meter_agent.registers import Quantity, RawCounter
from meter_agent.simulator import HouseholdProfile, Profile, SetClock, Simulation
from meter_agent.terms import Role
from tests.meter_agent.frames import tcp_meter
from tests.meter_agent.support import BERLIN, NOON

FAMILIES = ("em340", "cvm-c11", "sdm630", "umg", "sunspec103", "sunspec203", "sunspec213", "sunspec701")


def street(*names: str) -> Profile:
    households = [
        HouseholdProfile(bytes([unit]) * 32, unit, 3500, 5, {Role.GRID: unit}, {Role.GRID: MAPS[name]})
        for unit, name in enumerate(names, 1)
    ]
    return Profile("127.0.0.1", 0, BERLIN, tuple(households))


def on_simulation(profile: Profile, use: Callable[[Bus], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Simulation(profile, SetClock(NOON)) as simulation:
            bus = Bus(BusConfig("127.0.0.1", simulation.port, answer_seconds=0.3))
            try:
                await use(bus)
            finally:
                bus.close()

    asyncio.run(run())


def test_each_family_is_recognised_for_what_it_is() -> None:
    async def use(bus: Bus) -> None:
        found = await discover(bus, range(1, len(FAMILIES) + 2))
        assert [(each.unit, each.map) for each in found] == list(enumerate(FAMILIES, 1))
        assert all(each.counters.keys() == MAPS[each.map].fields.keys() for each in found)

    on_simulation(street(*FAMILIES), use)


def test_a_device_says_who_made_it_and_every_model_is_listed() -> None:
    def padded(text: str, words: int) -> str:
        return text.encode().ljust(2 * words, b"\0").hex()

    common = "0001 0042" + padded("Fronius", 16) + padded("Symo 8.2", 16) + padded("", 8)
    common += padded("1.2.3", 8) + padded("30412", 16)
    answers = {
        "01 03 9c 40 00 02": "01 03 04 53 75 6e 53",
        "01 03 9c 42 00 02": "01 03 04 00 01 00 42",
        "01 03 9c 42 00 42": "01 03 84" + common,
        "01 03 9c 86 00 02": "01 03 04 00 67 00 32",  # 40070: model 103
        "01 03 9c 86 00 1b": "01 03 36 00 67 00 32" + "00" * 44 + "00 00 04 d2 00 00",  # WH = 1234
        "01 03 9c ba 00 02": "01 03 04 00 a0 00 02",  # 40122: model 160, of which nothing is known here
        "01 03 9c be 00 02": "01 03 04 00 cb 00 69",  # 40126: model 203, whose counters cannot be read
        "01 03 9d 29 00 02": "01 03 04 ff ff 00 00",  # 40233: the end
    }

    async def run() -> list[Found]:
        async with tcp_meter(answers) as bus:
            return await discover(bus, [1])

    inverter, meter = asyncio.run(run())
    assert (inverter.map, inverter.manufacturer, inverter.model, inverter.version, inverter.serial) == (
        "sunspec103",
        "Fronius",
        "Symo 8.2",
        "1.2.3",
        "30412",
    )
    assert inverter.counters == {Quantity.EXPORT: RawCounter(1234, 0)}
    assert (meter.map, meter.serial, meter.counters) == ("sunspec203", "30412", {})


def test_units_that_are_not_there_cost_two_answers_time() -> None:
    asked = []

    class Counting(dict[str, str | bytes | None]):
        def get(self, request: str, default: object = None) -> None:
            asked.append(request)

    async def run() -> list[Found]:
        async with tcp_meter(Counting(), answer_seconds=0.1) as bus:
            return await discover(bus, [1, 2])

    assert asyncio.run(run()) == []
    assert len(set(asked)) == 4  # each is sent twice


def test_the_command_lists_what_answers_on_the_buses_of_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "box.toml"

    async def use(bus: Bus) -> None:
        host, port = bus.name.split(":")
        settings.write_text(
            f'[[buses]]\nname = "hall"\nhost = "{host}"\nport = {port}\n'
            '[[buses]]\nname = "roof"\ndevice = "/dev/none"\n'
        )
        arguments = ["discover", "--config", str(settings), "--units", "1-2", "--bus", "hall"]
        assert await asyncio.to_thread(main, arguments) == 0

    on_simulation(street("em340", "sunspec203"), use)
    first, second = json.loads(capsys.readouterr().out)
    assert (first["bus"], first["unit"], first["map"]) == ("hall", 1, "em340")
    assert (second["manufacturer"], second["model"]) == ("Simulated", "grid meter")
    assert first["energy"].keys() == {"import", "export"}
    assert main(["discover", "--config", str(settings), "--bus", "cellar"]) == 2
    assert "there is none called cellar" in capsys.readouterr().err


@pytest.mark.parametrize("units", ["0-256", "9-1", "one"])
def test_units_are_named_sensibly(units: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["discover", "--config", "box.toml", "--units", units])
    assert "--units" in capsys.readouterr().err

"""The command line: meter-agent key | keys | enroll | discover | run | once | status | display | simulate."""

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import Coroutine, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from evidence.boxes import read_code
from evidence.keys import Algorithm, PublicKey, Signer
from meter_agent import VERSION
from meter_agent.box import Box
from meter_agent.buses import read_buses
from meter_agent.channel.orders import Ending, How
from meter_agent.channel.store import StoreError
from meter_agent.config import Config, read_config
from meter_agent.configuration import ConfigurationError
from meter_agent.control import Control, read_control
from meter_agent.daemon import Agent
from meter_agent.discover import discover_on
from meter_agent.display import show
from meter_agent.enrolment import Enroller, EnrolmentError
from meter_agent.finding import found_meters
from meter_agent.journal import open_journal
from meter_agent.journal.errors import JournalError
from meter_agent.journal.status import read_status
from meter_agent.keys import KeyFault, KeyRefused, Keys, Place, await_key, open_key, open_keys, read_key_settings
from meter_agent.keys.__main__ import hold_keys
from meter_agent.keys.settings import ALGORITHMS
from meter_agent.link import TIMEOUT
from meter_agent.meters import read_all_maps
from meter_agent.tables import ConfigError, base_url, read_toml

log = logging.getLogger("meter_agent")

DONE, NOT_DONE, UNUSABLE = 0, 1, 2
UNUSABLE_FOR = (ConfigError, ConfigurationError, EnrolmentError, KeyFault, JournalError, StoreError)
RESTART = 75  # whoever started it starts it again: the unit of systemd, or deploy/agent/launcher.py


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done; 1 something could not be read, sent or taken; 2 settings, key or journal cannot be used;

    75 it wants to be started again.
    """
    options = parser().parse_args(arguments)
    set_up_logging(options.verbose)
    try:
        return int(options.command(options))
    except (
        ConfigError,
        ConfigurationError,
        EnrolmentError,
        KeyFault,
        JournalError,
        StoreError,
    ) as error:
        print(f"meter-agent: {error}", file=sys.stderr)
        return UNUSABLE


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="meter-agent", description="Reads meters, signs what they counted, hands it on.")
    top.add_argument("--verbose", action="store_true", help="log repeated errors and each batch too")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("key", key, "print the device's public key as JSON, making the key on the first call; or exchange it"),
        ("keys", keys, "hold the keys and sign for the agent, until SIGTERM or SIGINT"),
        ("enroll", enroll, "bring the box into a market with a one-time code; go on where it was stopped"),
        ("run", run, "read at the end of every slot and send, until SIGTERM or SIGINT"),
        ("once", once, "read now, store, send"),
        ("status", status, "print what waits, what was last read and acknowledged, what was refused, as JSON"),
        ("display", display, "show on a small display how the box is doing, one page after another"),
        ("simulate", simulate, "read a whole day from simulated meters, or serve them in real time"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--config", type=Path, required=name != "simulate", help="the agent's settings (TOML)")
        sub.set_defaults(command=command)
        if command is enroll:
            sub.add_argument("--server", type=address, required=True, help="the market, as https://market.example")
            sub.add_argument("--units", type=units, default=range(1, 11), help="the units to ask, such as 1-10")
            sub.add_argument("--code", type=code, help="the one-time code; asked for when it is left out")
        if command is key:
            exchange = sub.add_mutually_exclusive_group()
            exchange.add_argument("--next", action="store_true", help="make the next key and print it")
            exchange.add_argument("--promote", action="store_true", help="let the next key be the current one")
            exchange.add_argument("--forget", type=Place, choices=[Place.NEXT, Place.OLD], help="give up this key")
        if command is display:
            sub.add_argument("--columns", type=int, default=20, choices=range(8, 133), metavar="N", help="20")
            sub.add_argument("--rows", type=int, default=4, choices=range(1, 51), metavar="N", help="4")
            sub.add_argument("--once", action="store_true", help="print each page once")
    sub.add_argument("--profile", type=Path, required=True, help="the households to simulate (TOML)")
    which = sub.add_mutually_exclusive_group(required=True)
    which.add_argument("--day", type=date.fromisoformat, help="the local day to read, YYYY-MM-DD")
    which.add_argument("--live", action="store_true", help="serve the meters in real time until SIGTERM or SIGINT")
    sub.add_argument("--send", action="store_true", help="send what was read")
    text = "print the meters that answer on the buses of the settings, as JSON"
    sub = commands.add_parser("discover", help=text, description=text)
    sub.add_argument("--config", type=Path, required=True, help="the agent's settings (TOML); its buses are enough")
    sub.add_argument("--bus", action="append", help="only this bus; may be given several times")
    sub.add_argument("--units", type=units, default=range(1, 11), help="the units to ask, such as 1-10 (the default)")
    sub.set_defaults(command=find_meters)
    return top


def units(text: str) -> range:
    first, _, last = text.partition("-")
    found = range(int(first), int(last or first) + 1)
    if not found or found[0] < 0 or found[-1] > 255:
        raise argparse.ArgumentTypeError("must be a unit or a range of units from 0 to 255, such as 1-10")
    return found


def set_up_logging(verbose: bool) -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
    # What it reports is reported by the reader, once and by the name of the meter.
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


def key(options: argparse.Namespace) -> int:
    ring = open_keys(read_key_settings(options.config))
    public = ring.make_next() if options.next else exchange_key(ring, options)
    names = {number: name for name, number in ALGORITHMS.items()}
    algorithm = names[Algorithm(public.algorithm)]
    print(json.dumps({"algorithm": algorithm, "x": public.x.hex(), "y": public.y.hex(), "id": public.id.hex()}))
    return DONE


def exchange_key(ring: Keys, options: argparse.Namespace) -> PublicKey:
    """The current key after what the options ask for."""
    if options.promote:
        held = ring.held()
        if Place.NEXT not in held.keys:
            raise KeyRefused(held.faults.get(Place.NEXT, "there is no next key: make one with --next"))
        ring.promote(held.keys[Place.NEXT].id)
    if options.forget:
        ring.forget(options.forget)
    return ring.make()


def keys(options: argparse.Namespace) -> int:
    hold_keys(options.config)
    return DONE


def address(text: str) -> str:
    try:
        return base_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def code(text: str) -> str:
    try:
        return read_code(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def enroll(options: argparse.Namespace) -> int:
    path: Path = options.config
    typed = options.code or read_code(input("Code: "))
    ring = open_keys(read_key_settings(path))

    async def work() -> None:
        async with httpx.AsyncClient(timeout=TIMEOUT, headers={"User-Agent": f"meter-agent {VERSION}"}) as client:
            discover = partial(found_meters, path, options.units)
            enroller = Enroller(path, options.server, typed, ring, discover, client)
            device = await enroller.run()
        print(json.dumps({"device": device.hex(), "configuration": str(enroller.stored_at)}))

    asyncio.run(until_stopped(work()))
    return DONE


def run(options: argparse.Namespace) -> int:
    while True:
        config = read_config(options.config)
        control = read_control(options.config)
        device_key = await_key(config.key)
        try:
            asyncio.run(until_stopped(work_as_box(config, control, device_key)))
        except Ending as ending:
            log.warning("%s, as the utility asks", ending)
            if ending.how is How.RELOAD:
                continue
            return RESTART
        return DONE


async def work_as_box(config: Config, control: Control, device_key: Signer) -> None:
    with open_journal(config.journal, config.device, config.journal_bytes) as journal:
        async with Box(config, control, journal, device_key) as box:
            log.info("reading %d points every %d minutes", len(config.points), config.slot_seconds // 60)
            await box.run()


def display(options: argparse.Namespace) -> int:
    config = read_config(options.config)
    try:
        show(config.journal, config.time_zone, options.columns, options.rows, once=options.once)
    except KeyboardInterrupt:
        log.info("stopped")
    return DONE


def once(options: argparse.Namespace) -> int:
    config = read_config(options.config)
    device_key = open_key(config.key)

    async def work() -> bool:
        with open_journal(config.journal, config.device, config.journal_bytes) as journal:
            async with Agent(config, journal, device_key) as agent:
                return await agent.once()

    return DONE if asyncio.run(work()) else NOT_DONE


def status(options: argparse.Namespace) -> int:
    print(json.dumps(read_status(read_config(options.config).journal), indent=2))
    return DONE


def find_meters(options: argparse.Namespace) -> int:
    table = read_toml(options.config)
    maps = read_all_maps(table, options.config.parent)
    buses = read_buses(table)
    wanted = options.bus or list(buses)
    for name in wanted:
        if name not in buses:
            raise ConfigError(f"buses: there is none called {name}")

    async def work() -> list[dict[str, Any]]:
        found = [await discover_on(buses[name], options.units, maps) for name in wanted]
        return [meter.as_json() | {"bus": name} for name, meters in zip(wanted, found, strict=True) for meter in meters]

    print(json.dumps(asyncio.run(work()), indent=2))
    return DONE


def simulate(options: argparse.Namespace) -> int:
    # A Modbus server is nothing that a box in a cabinet should carry.
    from meter_agent.simulator import read_profile, serve, simulate_day

    profile = read_profile(options.profile)
    if options.live:
        log.info("serving %d households on %s:%d", len(profile.households), profile.host, profile.port)
        try:
            asyncio.run(until_stopped(serve(profile)))
        except OSError as error:
            print(f"meter-agent: {error}", file=sys.stderr)
            return NOT_DONE
        return DONE
    if options.config is None:
        raise ConfigError("--config must be given with --day")
    config = read_config(options.config)
    device_key = open_key(config.key)
    with open_journal(config.journal, config.device, config.journal_bytes) as journal:
        result = asyncio.run(simulate_day(config, profile, journal, device_key, options.day, send=options.send))
    print(json.dumps(result))
    is_done = result["complete"] and result["sent"] == options.send and not result["refused"]
    return DONE if is_done else NOT_DONE


async def until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Do `work` until it fails or a signal asks to end."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    task = asyncio.create_task(work)
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    for unfinished in (task, waiting):
        unfinished.cancel()
    try:
        await task
    except asyncio.CancelledError:
        log.info("stopped")


if __name__ == "__main__":
    sys.exit(main())

"""The boxes beside the demonstration's meters: their settings, their keys, and the programs that run them."""

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.assets.models import MarketArea, MeteringPoint
from apps.assets.services import reading_secret
from apps.ledger.ledgers import DEFAULT, get_ledger
from apps.portal.demo.exceptions import DemoError
from apps.portal.demo.files import private_folder, write_private
from apps.portal.demo.market import box_name
from apps.portal.demo.street import HOMES, Home
from energymarket.supervisor.core import Child, StopOrder, Supervisor
from evidence.keys import Algorithm, PublicKey, SoftwareKey

PROGRAM = (sys.executable, "-m", "meter_agent")


@dataclass(frozen=True, slots=True)
class Box:
    """A meter agent with its folder, and the homes whose meters it reads."""

    number: int
    folder: Path
    homes: tuple[Home, ...]

    @property
    def settings(self) -> Path:
        return self.folder / "agent.toml"

    @property
    def profile(self) -> Path:
        return self.folder / "meters.toml"


@dataclass(frozen=True, slots=True)
class Sent:
    """What an agent says of itself: its key, and how many batches it has sent. `waiting` counts readings."""

    key: PublicKey
    last_sequence: int
    waiting: int
    refused: int


def boxes(folder: Path) -> tuple[Box, ...]:
    numbers = sorted({home.box for home in HOMES})
    return tuple(
        Box(number, folder / f"box-{number}", tuple(home for home in HOMES if home.box == number)) for number in numbers
    )


def make_keys(all_boxes: Iterable[Box]) -> dict[int, PublicKey]:
    """Public keys by box. The private ones are made by the agents and stay in their folders."""
    running = []
    for box in all_boxes:
        private_folder(box.folder)
        if not box.settings.exists():
            write_private(box.settings, 'key_file = "key/device.pem"\n')
        command = [*PROGRAM, "key", "--config", str(box.settings)]
        running.append((box, subprocess.Popen(command, cwd=settings.BASE_DIR, stdout=subprocess.PIPE)))  # noqa: S603
    keys = {}
    for box, process in running:
        output, _ = process.communicate()
        if process.returncode:
            raise DemoError(f"The meter agent of {box.folder} made no key.")
        printed = json.loads(output)
        keys[box.number] = PublicKey(Algorithm.P256, bytes.fromhex(printed["x"]), bytes.fromhex(printed["y"]))
    return keys


def check_key(area: MarketArea, box: Box, key: PublicKey) -> None:
    """Raises `DemoError` when the box has lost the key that the market knows it by."""
    if not area.devices.filter(name=box_name(box.number), keys__key_id=key.id, keys__revoked_at=None).exists():
        raise DemoError(
            f"The market in the database knows another key for the meter agent in {box.folder}. Bring that folder back,"
            " or start anew with another database or data folder."
        )


def write_settings(box: Box, area: MarketArea, server: str, meter_port: int) -> None:
    """What the utility tells a box at its enrolment, and the profile of the meters that are simulated for it."""
    device = area.devices.get(name=box_name(box.number))
    points = {point.code: point for point in area.points.filter(devices=device)}
    parts = [
        f'device = "{bytes(device.ledger_id).hex()}"',
        'key_file = "key/device.pem"',
        f'time_zone = "{area.time_zone}"',
        f"slot_minutes = {area.slot_minutes}",
        'journal = "journal.sqlite"',
        *_destination({"name": "market", "kind": "market", "server": server}),
        *_ledger(box, server),
    ]
    for home in box.homes:
        parts += _point(home, points[home.code], meter_port)
    write_private(box.settings, "\n".join(parts) + "\n")
    write_private(box.profile, profile(box.homes, points, area, meter_port))


def _ledger(box: Box, server: str) -> list[str]:
    """Totals of days go straight to a chain, with an account or identity that has no rights; to the embedded ledger
    the market's server hands them on.
    """
    ledger = get_ledger(DEFAULT)
    genesis = ledger.genesis()
    options = {} if settings.LEDGER == "embedded" else json.loads(settings.LEDGER_OPTIONS.read_text("utf-8"))
    about: dict[str, object] = {"name": "ledger", "kind": "ledger", "via": "relay", "server": server}
    if settings.LEDGER == "quorum":
        account = box.folder / "account.key"
        if not account.exists():
            write_private(account, SoftwareKey.generate(Algorithm.SECP256K1).secret.hex())
        contract = ledger.wallet_domain().contract or b""
        about = {"name": "ledger", "kind": "ledger", "via": "quorum", "url": options["RPC"][-1]}
        about["contract"] = f"0x{contract.hex()}"
        about |= {"chain_id": options["CHAIN_ID"], "account_file": account.name}
    elif settings.LEDGER == "fabric":
        about = {"name": "ledger", "kind": "ledger", "via": "fabric"}
        names = ("ADDRESS", "CHANNEL", "CHAINCODE", "MSP_ID", "CERTIFICATE", "PRIVATE_KEY", "TLS_CA")
        about |= {name.lower(): str(options[name]) for name in names}
    return _destination({**about, "ledger": genesis.ledger.hex(), "market": genesis.market.hex()})


def _destination(values: Mapping[str, object]) -> list[str]:
    return ["", "[[destinations]]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]


def _point(home: Home, point: MeteringPoint, port: int) -> list[str]:
    secret = reading_secret(point.occupancies.get(until=None))
    lines = ["", "[[points]]", f'id = "{bytes(point.ledger_id).hex()}"', f'secret = "{secret.hex()}"']
    for role, unit in units(home).items():
        lines.append(f'{role} = {{ host = "127.0.0.1", port = {port}, unit = {unit}, map = "sunspec203" }}')
    return lines


def units(home: Home) -> dict[str, int]:
    """Modbus units of a home's meters, by their role."""
    grid = {"grid": 2 * home.number}
    return grid | {"generation": 2 * home.number + 1} if home.roof_w else grid


def profile(homes: Iterable[Home], points: dict[str, MeteringPoint], area: MarketArea, port: int) -> str:
    lines = [f"port = {port}", f'time_zone = "{area.time_zone}"']
    for home in homes:
        lines += [
            "",
            "[[households]]",
            f'point = "{bytes(points[home.code].ledger_id).hex()}"',
            f"seed = {home.number}",
        ]
        lines += [f"annual_kwh = {home.annual_kwh}", f"kwp = {home.roof_w / 1000}"]
        lines += [f"{role}_unit = {unit}" for role, unit in units(home).items()]
    return "\n".join(lines) + "\n"


def replay(supervisor: Supervisor, all_boxes: Iterable[Box], day: dt.date) -> None:
    """Let every agent read a past day from simulated meters, as fast as it can, and send it. Raises `DemoError`."""
    names = {}
    for box in all_boxes:
        name = f"replay-{box.number}"
        command = [*PROGRAM, "simulate", "--config", str(box.settings), "--profile", str(box.profile)]
        command += ["--day", day.isoformat(), "--send"]
        supervisor.start(Child(name, command, StopOrder.AGENTS, folder=settings.BASE_DIR, is_job=True))
        names[name] = box
    for name in names:
        if supervisor.wait_for(name):
            raise DemoError(f"A meter agent could not read or send {day}; its log is {supervisor.log_file(name)}")


def start_live(supervisor: Supervisor, all_boxes: Iterable[Box], street: Path) -> None:
    """Serve all meters of the street in real time, and let the agents read them."""
    meters = [*PROGRAM, "simulate", "--live", "--profile", str(street)]
    supervisor.start(Child("meters", meters, StopOrder.AGENTS, folder=settings.BASE_DIR))
    for box in all_boxes:
        command = [*PROGRAM, "run", "--config", str(box.settings)]
        supervisor.start(Child(f"agent-{box.number}", command, StopOrder.AGENTS, folder=settings.BASE_DIR))


def stop_live(supervisor: Supervisor, all_boxes: Iterable[Box]) -> None:
    for name in ("meters", *(f"agent-{box.number}" for box in all_boxes)):
        if supervisor.is_running(name):
            supervisor.stop_child(name)


def sent_by(box: Box, key: PublicKey) -> Sent:
    """Ask an agent's own journal."""
    command = [*PROGRAM, "status", "--config", str(box.settings)]
    finished = subprocess.run(  # noqa: S603 our own program
        command, cwd=settings.BASE_DIR, capture_output=True, check=True
    )
    status: dict[str, Any] = json.loads(finished.stdout)
    backlog = status["backlog"]
    waiting = backlog["readings"] + backlog["readings_in_batches"]
    return Sent(key, status["last_sequence"], waiting, len(status["refused"]))

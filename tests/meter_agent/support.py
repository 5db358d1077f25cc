"""A head-end of few lines: it checks what a batch claims and can be told to misbehave."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from evidence.canonical import decode_bytes, decode_int
from evidence.keys import PublicKey, Signer, SoftwareKey
from evidence.readings import Reading, Statement, batch_root
from meter_agent.buses import BusConfig
from meter_agent.config import Config, PointConfig
from meter_agent.destinations import Market
from meter_agent.energy import PointState
from meter_agent.household import Energies, Household
from meter_agent.journal import Journal
from meter_agent.keys.settings import FileKey
from meter_agent.link import Allowance
from meter_agent.maps import MAPS
from meter_agent.meters import MeterConfig
from meter_agent.registers import WRAP
from meter_agent.simulator import HouseholdProfile, Profile
from meter_agent.terms import Role
from meter_agent.uplink import Sealer, Uplink, readings_of

BERLIN = ZoneInfo("Europe/Berlin")
DEVICE = b"\x0d" * 32
HOUSE, SHOP = b"\xaa" * 32, b"\xbb" * 32
SECRETS = {HOUSE: b"\x01" * 32, SHOP: b"\x02" * 32}
KEY = SoftwareKey.generate()
STEP = 900
NOON = 1_781_089_200  # 2026-06-10 11:00 UTC

PROFILE = Profile(
    "127.0.0.1",
    0,
    BERLIN,
    (
        HouseholdProfile(HOUSE, 1, 3500, 8.5, {Role.GRID: 1, Role.GENERATION: 2}),
        HouseholdProfile(SHOP, 2, 9000, 0, {Role.GRID: 3}),
    ),
)


def meter(unit: int, port: int = 5020) -> MeterConfig:
    return MeterConfig(BusConfig("127.0.0.1", port), unit, MAPS["sunspec203"], 100)


def house(port: int = 5020) -> PointConfig:
    return PointConfig(HOUSE, SECRETS[HOUSE], {Role.GENERATION: meter(2, port), Role.GRID: meter(1, port)})


def shop(port: int = 5020) -> PointConfig:
    return PointConfig(SHOP, SECRETS[SHOP], {Role.GRID: meter(3, port)})


def rounded(mwh: int) -> int:
    return (mwh + 500) // 1000


def expected(slots: range) -> list[Reading]:
    """What the meters must have counted since the first slot, by rounding the households' own running sums."""
    home, market = Household(1, 3500, 8.5, BERLIN), Household(2, 9000, 0, BERLIN)
    start = home.energies(slots[0])
    # The running sum starts with what the counters show at first, and those have wrapped long ago.
    shown = Energies(start.generated % WRAP, start.exported % WRAP, start.imported % WRAP)
    bought = market.energies(slots[0]).imported

    def sums(instant: int) -> tuple[int, int, int]:
        energies = home.energies(instant).plus(start, times=-1).plus(shown)
        shop = market.energies(instant).imported - bought + bought % WRAP
        return rounded(energies.consumed), rounded(energies.generated), rounded(shop)

    return [
        Reading(point, register, slot, after - before)
        for slot in slots
        for (point, register), before, after in zip(
            ((HOUSE, 1), (HOUSE, 2), (SHOP, 1)), sums(slot), sums(slot + STEP), strict=True
        )
    ]


def make_config(folder: Path, server: str = "http://127.0.0.1:9", *points: PointConfig) -> Config:
    return Config(
        device=DEVICE,
        key=FileKey(folder / "key" / "device.pem"),
        destinations=(Market("market", server),),
        time_zone=BERLIN,
        slot_seconds=STEP,
        journal=folder / "journal.sqlite",
        poll_seconds=1,
        points=points or (house(), shop()),
    )


def check(batch: dict[str, Any], key: PublicKey) -> Statement:
    """What a head-end checks: count, window, root and signature."""
    claim, readings = batch["statement"], readings_of(batch)
    order = [(decode_bytes(run["point"]), run["register"], run["start"]) for run in batch["series"]]
    assert order == sorted(order)
    statement = Statement(
        device=decode_bytes(claim["device"]),
        key=decode_bytes(claim["key"]),
        sequence=decode_int(claim["sequence"]),
        start=decode_int(claim["start"]),
        end=decode_int(claim["end"]),
        unit=decode_int(claim["unit"]),
        count=len(readings),
        root=batch_root(readings, SECRETS),
    )
    assert (statement.device, statement.key, statement.unit) == (DEVICE, key.id, 1)
    assert claim["count"] == str(len(readings))
    assert decode_bytes(claim["root"]) == statement.root
    step = batch["series"][0]["step"]
    assert statement.start == min(reading.slot for reading in readings)
    assert statement.end == max(reading.slot for reading in readings) + step
    assert key.verifies(statement.digest, decode_bytes(batch["signature"]))
    return statement


def make_uplink(
    config: Config, journal: Journal, client: httpx.AsyncClient, shortest_pause: float = 1, key: Signer = KEY
) -> Uplink:
    """To the first destination."""
    (market,) = config.destinations
    assert isinstance(market, Market)
    allowance = Allowance(journal, config.bytes_per_day)
    return Uplink(market, Sealer(config, journal, key), client, allowance, shortest_pause)


def store(journal: Journal, readings: Sequence[Reading], point: bytes = HOUSE, step: int = STEP) -> None:
    journal.store(point, PointState(), readings, step, BERLIN)


def kept(journal: Journal) -> list[Reading]:
    rows = journal._db.execute(
        "SELECT point, register, slot, value, quality FROM readings ORDER BY slot, point, register"
    )
    return [Reading(*row) for row in rows]


@dataclass
class HeadEnd:
    """`script` holds what to do with the next requests: a status, "hang up" (before or after storing) or "late"."""

    key: PublicKey = KEY.public_key
    script: list[Any] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    stored: dict[int, bytes] = field(default_factory=dict)
    address: str = ""

    def store(self, body: bytes) -> tuple[int, dict[str, str]]:
        statement = check(json.loads(body), self.key)
        known = self.stored.setdefault(statement.sequence, body)
        if known != body:
            return 409, {"title": "sequence seen before with other content"}
        status = "known" if self.received.count(body) > 1 else "stored"
        return 200, {"sequence": str(statement.sequence), "status": status}

    @property
    def readings(self) -> list[Reading]:
        """Everything that was stored, in order of slots."""
        found = [reading for body in self.stored.values() for reading in readings_of(json.loads(body))]
        return sorted(found, key=lambda reading: (reading.slot, reading.point, reading.register))


class Handler(BaseHTTPRequestHandler):
    head_end: HeadEnd

    def do_POST(self) -> None:
        assert self.path == "/api/v1/meter-batches"
        assert self.headers["Content-Type"] == "application/json"
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.head_end.received.append(body)
        order = self.head_end.script.pop(0) if self.head_end.script else "store"
        if order == "hang up":
            return
        if isinstance(order, tuple):
            self.answer(*order)
            return
        status, content = self.head_end.store(body)
        if order == "hang up after storing":
            return
        if order == "late":
            time.sleep(0.6)
        self.answer(status, "application/json" if status == 200 else "application/problem+json", content)

    def answer(self, status: int, kind: str, content: object, headers: dict[str, str] | None = None) -> None:
        text = json.dumps(content).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)
        except ConnectionError:
            pass  # the agent did not wait for a late answer

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def running_head_end(key: PublicKey = KEY.public_key) -> Iterator[HeadEnd]:
    head_end = HeadEnd(key)
    handler = type("BoundHandler", (Handler,), {"head_end": head_end})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        head_end.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield head_end
        finally:
            server.shutdown()
            thread.join()

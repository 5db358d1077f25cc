"""The head-end as boxes meet it: a web server of one process in front of a market's points and devices."""

import datetime as dt
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from django.conf import settings

from apps.accounts.choices import PartyKind, PartyRole
from apps.accounts.models import Party
from apps.assets.models import MarketArea, MeteringPoint
from apps.assets.services import add_metering_point, reading_secret
from apps.ledger.choices import LedgerState
from apps.metering.models import Device, DeviceKey
from evidence.keys import SoftwareKey
from evidence.readings import Reading, Register
from market_math.slots import day_slots
from meter_agent.uplink import signed_body

SINCE = dt.date(2020, 1, 1)
FIRST_DAY = dt.date(2025, 1, 1)
PATH = "/api/v1/meter-batches"


@dataclass(frozen=True)
class Site:
    """A device with the points that it measures."""

    area: MarketArea
    device: bytes
    key: SoftwareKey
    points: Sequence[MeteringPoint]
    secrets: dict[bytes, bytes]

    def readings(self, day: int, count: int) -> list[Reading]:
        """Consumption of a day, in the order of the leaves: as many as are wanted, and as the points have."""
        slots = day_slots(FIRST_DAY + dt.timedelta(days=day), self.area.zone, 15)
        names = sorted(self.secrets)
        return [
            Reading(point, Register.CONSUMPTION, slot, 100 + slot // 900 % 700) for point in names for slot in slots
        ][:count]

    def body(self, sequence: int, readings: list[Reading]) -> bytes:
        return signed_body(self.device, self.key, self.secrets, sequence, 900, readings)


def make_site(points: int) -> Site:
    utility = Party.objects.create(
        name="Utility", kind=PartyKind.ORGANISATION, role=PartyRole.UTILITY, ledger_state=LedgerState.CONFIRMED
    )
    area = MarketArea.objects.create(utility=utility, name="Area")
    found = [add_metering_point(area=area, party=utility, code=f"P-{n}", since=SINCE) for n in range(points)]
    device = Device.objects.create(area=area, owner=utility, name="box", ledger_state=LedgerState.CONFIRMED)
    device.points.set(found)
    key = SoftwareKey.generate()
    public = key.public_key
    DeviceKey.objects.create(device=device, key_id=public.id, algorithm=public.algorithm, x=public.x, y=public.y)
    secrets = {bytes(point.ledger_id): reading_secret(point.occupancies.get()) for point in found}
    return Site(area, bytes(device.ledger_id), key, found, secrets)


class WebServer:
    """The project's own, with one worker process whose processor time is known."""

    def __init__(self, port: int, master: psutil.Process) -> None:
        self.port = port
        self.master = master
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def post(self, body: bytes) -> None:
        """Raises RuntimeError unless the batch is stored."""
        self._connection.request("POST", PATH, body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200 or b'"stored"' not in content:
            raise RuntimeError(f"{answer.status} {content[:300]!r}")

    def is_ready(self) -> bool:
        try:
            self._connection.request("GET", "/healthz")
            answer = self._connection.getresponse()
            answer.read()
        except OSError:
            self._connection.close()
            return False
        return answer.status == 200

    def cpu_seconds(self) -> float:
        """Of the master and its workers, spent so far."""
        spent = [each.cpu_times() for each in (self.master, *self.master.children())]
        return float(sum(times.user + times.system for times in spent))

    def memory(self) -> int:
        """Bytes of the master and its workers, each page counted once."""
        return sum(each.memory_full_info().pss for each in (self.master, *self.master.children()))


@contextmanager
def running_web(log: Path, processes: int = 1) -> Iterator[WebServer]:
    """On a free port, with the environment of this process. Raises RuntimeError when it does not start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "-c", "python:energymarket.gunicorn", "--bind", f"127.0.0.1:{port}"]
    environment = os.environ | {"WEB_CONCURRENCY": str(processes)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment, stdout=output, stderr=output)  # noqa: S603
    server = WebServer(port, psutil.Process(process.pid))
    deadline = time.monotonic() + 60
    try:
        while not server.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the web server does not start: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(30)

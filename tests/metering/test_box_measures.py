"""A box that sends its readings as measure documents too: to a market, and to somebody who knows nothing of batches."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from pytest_django.live_server_helper import LiveServer

from apps.assets.services import reading_secret
from apps.ledger.ledgers import DEFAULT
from apps.ledger.services.sweep import drain
from apps.metering import readings
from apps.metering.services.devices import register_device
from evidence.keys import SoftwareKey
from evidence.readings import Quality, Reading, Register
from market_math.slots import day_slots
from meter_agent.config import PointConfig
from meter_agent.destinations import Market, Measures
from meter_agent.journal import Journal
from meter_agent.link import Allowance
from meter_agent.uplink import Sealer, Uplink
from tests.market import make_market
from tests.meter_agent.support import DEVICE, HOUSE, NOON, SHOP, make_config, store
from tests.metering.head_end import DAY, STEP


def send(
    journal: Journal, device: bytes, key: SoftwareKey, secrets: dict[bytes, bytes], *to: Market | Measures
) -> list[bool]:
    points = tuple(PointConfig(point, secret, {}) for point, secret in secrets.items())
    config = replace(make_config(Path(".")), device=device, destinations=to, points=points)

    async def work() -> list[bool]:
        async with httpx.AsyncClient() as client:
            sealer = Sealer(config, journal, key)
            uplinks = [Uplink(each, sealer, client, Allowance(journal, None), 0.01) for each in to]
            return [await uplink.drain(3) for uplink in uplinks]

    return asyncio.run(work())


@pytest.mark.django_db(transaction=True)
def test_a_market_takes_the_documents_of_a_box_by_its_signature(live_server: LiveServer, tmp_path: Path) -> None:
    market, key = make_market({"alice": 0, "bob": 0}), SoftwareKey.generate()
    points = list(market.points.values())
    box = register_device(area=market.area, owner=market.utility, name="box", key=key.public_key, points=points)
    drain(DEFAULT)
    secrets = {bytes(point.ledger_id): reading_secret(point.occupancies.get()) for point in points}
    slots = list(day_slots(DAY, market.area.zone, 15))[:8]
    content = [
        Reading(point, Register.CONSUMPTION, slot, 250 + n) for point in sorted(secrets) for n, slot in enumerate(slots)
    ]
    device = bytes(box.ledger_id)
    with Journal(tmp_path / "journal", device) as journal:
        store(journal, content)
        to = Measures("plant", f"{live_server.url}/api/v1/measures", "box", None)
        assert send(journal, device, key, secrets, to) == [True]
        assert journal.status()["backlog"]["batches"] == 0
        assert journal.status()["refused"] == []
    found = readings.latest(market.area.pk, [point.pk for point in points], slots[0], slots[-1] + STEP)
    assert sorted(row.value for row in found) == sorted(reading.value for reading in content)


@dataclass
class Plant:
    """Somebody's server that takes documents with a token."""

    address: str = ""
    script: list[int] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    credentials: set[str] = field(default_factory=set)


@pytest.fixture
def plant() -> Iterator[Plant]:
    found = Plant()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = found.script.pop(0) if found.script else 201
            if status == 201:
                found.documents.append(json.loads(body))
                found.credentials.add(self.headers["Authorization"])
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.address = f"http://127.0.0.1:{server.server_address[1]}/measures"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def test_another_server_gets_a_document_for_each_point_with_its_token(tmp_path: Path, plant: Plant) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("secret\n")
    key = SoftwareKey.generate()
    plant.script = [500, 503]
    with Journal(tmp_path / "journal", DEVICE) as journal:
        store(
            journal,
            [
                Reading(HOUSE, Register.CONSUMPTION, NOON, 1_234),
                Reading(HOUSE, Register.GENERATION, NOON, 5),
                Reading(SHOP, Register.CONSUMPTION, NOON, 70, Quality.SUBSTITUTE),
            ],
        )
        to = Measures("plant", plant.address, "Roof, north", token)
        assert send(journal, DEVICE, key, {HOUSE: bytes(32), SHOP: bytes(32)}, to) == [True]
    assert plant.credentials == {"Bearer secret"}
    last = {document["id"]: document for document in plant.documents}
    assert set(last) == {HOUSE.hex()}, "substitutes have no place in these documents"
    assert {document["device_name"] for document in plant.documents} == {"Roof, north"}
    assert [(measure["value"], measure["unity"]) for measure in last[HOUSE.hex()]["measures"]] == [
        ("1.234", "kWh"),
        ("0.005", "kWh"),
    ]


def test_a_document_that_is_refused_is_put_aside(tmp_path: Path, plant: Plant) -> None:
    plant.script = [422]
    with Journal(tmp_path / "journal", DEVICE) as journal:
        store(journal, [Reading(HOUSE, Register.CONSUMPTION, NOON, 1)])
        to = Measures("plant", plant.address, "Roof", None)
        assert send(journal, DEVICE, SoftwareKey.generate(), {HOUSE: bytes(32)}, to) == [True]
        assert [(each["destination"], each["status"]) for each in journal.status()["refused"]] == [("plant", 422)]

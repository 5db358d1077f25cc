"""A device of a small market, and what it posts."""

import copy
import datetime as dt
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.test import Client

from apps.accounts.choices import PartyKind, PartyRole
from apps.accounts.models import Party
from apps.assets.models import MarketArea, MeteringPoint, Plant
from apps.assets.services import add_metering_point, reading_secret
from apps.ledger.choices import LedgerState
from apps.metering.models import Batch, Device, DeviceKey
from evidence.keys import SoftwareKey
from evidence.readings import Reading, Register
from market_math.slots import day_slots
from meter_agent.uplink import signed_body

URL = "/api/v1/meter-batches"
STEP = 900
DAY = dt.date(2026, 6, 1)
POWER_W = 10_000

Change = Callable[[dict[str, Any]], None]


@dataclass
class HeadEnd:
    area: MarketArea
    device: Device
    points: list[MeteringPoint]
    key: SoftwareKey = field(default_factory=SoftwareKey.generate)

    def __post_init__(self) -> None:
        public = self.key.public_key
        self.device_key = DeviceKey.objects.create(
            device=self.device, key_id=public.id, algorithm=public.algorithm, x=public.x, y=public.y
        )
        self.device.points.set(self.points)
        self.secrets = {
            bytes(point.ledger_id): reading_secret(point.occupancies.get())
            for point in MeteringPoint.objects.filter(area=self.area)
        }

    def readings(self, slots: Sequence[int] = (), value: int = 100, points: int = 1) -> list[Reading]:
        """A day of consumption unless told otherwise, in the order of the leaves."""
        given = slots or day_slots(DAY, self.area.zone, 15)
        found = [
            Reading(bytes(point.ledger_id), Register.CONSUMPTION, slot, value + index)
            for point in self.points[:points]
            for index, slot in enumerate(given)
        ]
        return sorted(found, key=lambda reading: reading.leaf_id)

    def body(
        self, readings: list[Reading] | None = None, sequence: int = 1, *, key: SoftwareKey | None = None
    ) -> bytes:
        return signed_body(
            bytes(self.device.ledger_id), key or self.key, self.secrets, sequence, STEP, readings or self.readings()
        )

    def changed(self, change: Change) -> bytes:
        """A good batch after a change that its signer did not make."""
        body = copy.deepcopy(json.loads(self.body()))
        change(body)
        return json.dumps(body).encode()


def make_head_end(points: int = 1, time_zone: str = "Europe/Berlin") -> HeadEnd:
    utility = Party.objects.create(
        name="Utility", kind=PartyKind.ORGANISATION, role=PartyRole.UTILITY, ledger_state=LedgerState.CONFIRMED
    )
    owner = Party.objects.create(name="Alice", role=PartyRole.CUSTOMER, utility=utility)
    area = MarketArea.objects.create(utility=utility, name="Area", slot_minutes=15, time_zone=time_zone)
    since = dt.date(2020, 1, 1)
    found = [add_metering_point(area=area, party=owner, code=f"P-{n}", since=since) for n in range(points)]
    Plant.objects.create(area=area, point=found[0], owner=owner, name="roof", power_w=POWER_W, since=since)
    device = Device.objects.create(area=area, owner=owner, name="box", ledger_state=LedgerState.CONFIRMED)
    return HeadEnd(area, device, found)


def post(body: bytes, content_type: str = "application/json") -> Any:
    return Client(raise_request_exception=True).post(URL, body, content_type=content_type)


def stored() -> tuple[int, int]:
    """How many batches and readings there are."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM metering_reading")
        return Batch.objects.count(), cursor.fetchone()[0]


def assert_refused(response: Any, status: int, field: str, rule: str) -> None:
    """A problem document that names field and rule."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert set(problem) == {"type", "title", "status", "detail", "errors"}
    assert problem["status"] == status
    assert (field, rule) in {(error["field"], error["rule"]) for error in problem["errors"]}, problem
    assert all(error["message"] for error in problem["errors"])

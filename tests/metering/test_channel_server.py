"""The web server as it is shipped: boxes that wait keep nobody else from being answered."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from django.conf import settings
from django.db import connection

from apps.metering.models import Device, DeviceKey
from apps.metering.services.instructions import instruct
from evidence.boxes import InstructionKind
from evidence.keys import SoftwareKey
from tests.metering.channel import URL, Box, make_channel
from tests.metering.head_end import HeadEnd
from tests.web_server import web_server

MORE = 3


@pytest.fixture
def head_end(transactional_db: None) -> HeadEnd:
    return make_channel()


@pytest.fixture
def server(head_end: HeadEnd, tmp_path: Path) -> Iterator[str]:
    with web_server(tmp_path) as address:
        yield address


def make_box(head_end: HeadEnd, number: int) -> Box:
    device = Device.objects.create(area=head_end.area, owner=head_end.device.owner, name=f"box {number}")
    key = SoftwareKey.generate()
    public = key.public_key
    DeviceKey.objects.create(device=device, key_id=public.id, algorithm=public.algorithm, x=public.x, y=public.y)
    return Box(bytes(device.ledger_id), key)


def test_boxes_that_wait_leave_room_for_everybody_else(head_end: HeadEnd, server: str) -> None:
    boxes = [make_box(head_end, number) for number in range(settings.BOXES_WAITING + MORE)]

    def poll(box: Box) -> tuple[httpx.Response, float]:
        answer = httpx.get(f"{server}{URL}?wait=25", headers={"Authorization": box.credentials()}, timeout=60)
        return answer, time.monotonic()

    with ThreadPoolExecutor(len(boxes)) as pool:
        begun = time.monotonic()
        polls = [pool.submit(poll, box) for box in boxes]
        deadline = time.monotonic() + 20
        while sum(each.done() for each in polls) < MORE:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.5)
        at_once = [each.result() for each in polls if each.done()]
        assert [(answer.status_code, answer.headers["Retry-After"]) for answer, _ in at_once] == [(204, "15")] * MORE
        assert at_once[-1][1] - begun < 5
        for _ in range(5):
            asked = time.monotonic()
            assert httpx.get(f"{server}/healthz").status_code == 200
            assert time.monotonic() - asked < 10
        with connection.cursor() as cursor:
            # One connection listens for all who wait.
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND query LIKE 'LISTEN%'"
            )
            assert cursor.fetchone() == (1,)
        waiting = [(box, each) for box, each in zip(boxes, polls, strict=True) if not each.done()]
        given = time.monotonic()
        for box, _ in waiting:
            instruct(Device.objects.get(ledger_id=box.device), InstructionKind.RESTART, {})
        woken = [each.result(20) for _, each in waiting]
    assert len(woken) == settings.BOXES_WAITING
    assert {answer.status_code for answer, _ in woken} == {200}
    assert max(at for _, at in woken) - given < 3

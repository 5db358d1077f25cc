"""Batches that arrive at the same moment, over real transactions."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from apps.metering.models import Device
from tests.metering.head_end import HeadEnd, make_head_end, post, stored


@pytest.fixture
def head_end(transactional_db: None) -> Iterator[HeadEnd]:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM metering_reading")
    yield make_head_end(points=2)
    # No model, so it is not emptied with the other tables.
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM metering_reading")


def post_together(*bodies: bytes) -> list[Any]:
    start = threading.Barrier(len(bodies))
    answers: list[Any] = [None] * len(bodies)

    def send(index: int) -> None:
        try:
            start.wait()
            answers[index] = post(bodies[index])
        except Exception as error:
            answers[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=[index]) for index in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_the_same_batch_at_once_is_stored_once(head_end: HeadEnd) -> None:
    answers = post_together(*[head_end.body()] * 6)
    assert [answer.status_code for answer in answers] == [200] * 6
    assert sorted(answer.json()["status"] for answer in answers) == ["known"] * 5 + ["stored"]
    assert stored() == (1, 96)


def test_other_content_under_one_sequence_at_once(head_end: HeadEnd) -> None:
    bodies = [head_end.body(head_end.readings(value=value)) for value in (100, 200, 300, 400)]
    answers = post_together(*bodies)
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert stored() == (1, 96)


def test_two_devices_that_measure_the_same_point(head_end: HeadEnd) -> None:
    """Each reading of theirs gets a version of its own."""
    second = HeadEnd(
        head_end.area,
        Device.objects.create(area=head_end.area, owner=head_end.device.owner, name="second"),
        head_end.points,
    )
    for sequence in range(1, 4):
        answers = post_together(head_end.body(sequence=sequence), second.body(sequence=sequence))
        assert [answer.status_code for answer in answers] == [200, 200]
    with connection.cursor() as cursor:
        cursor.execute("SELECT version, count(*) FROM metering_reading GROUP BY version ORDER BY version")
        assert cursor.fetchall() == [(version, 96) for version in range(6)]

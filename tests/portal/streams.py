"""People around a head-end who have pages open, and what they are told."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from apps.accounts.choices import MemberRole
from apps.accounts.models import User
from apps.assets.models import MeteringPoint
from tests.factories import MembershipFactory, PointFactory, UserFactory
from tests.metering.head_end import STEP, HeadEnd, make_head_end, post


@dataclass
class Watchers:
    """Alice, whose points the head-end reads; a clerk of their utility; a stranger with a point of another one."""

    head_end: HeadEnd
    alice: User
    clerk: User
    stranger: User
    elsewhere: MeteringPoint

    @property
    def points(self) -> list[MeteringPoint]:
        return self.head_end.points


def make_watchers() -> Watchers:
    head_end, elsewhere = make_head_end(points=2), PointFactory.make(code="elsewhere")
    people = {name: UserFactory.make(email=f"{name}@example.org") for name in ("alice", "clerk", "stranger")}
    MembershipFactory.make(user=people["alice"], party=head_end.device.owner)
    MembershipFactory.make(user=people["clerk"], party=head_end.area.utility, role=MemberRole.STAFF)
    MembershipFactory.make(user=people["stranger"], party=elsewhere.party)
    return Watchers(head_end, **people, elsewhere=elsewhere)


def slot_ago(slots: int) -> int:
    """Start of the slot so many before the one that runs."""
    return int(time.time()) // STEP * STEP - slots * STEP


def send(head_end: HeadEnd, sequence: int, slot: int, value: int, points: int = 1) -> None:
    """Post a signed batch with one slot of consumption; the value rises by one from point to point."""
    answer = post(head_end.body(head_end.readings([slot], value, points), sequence))
    assert answer.status_code == 200, answer.content


def path_of(*points: MeteringPoint, since: int | None = None) -> str:
    named = [f"point={point.pk}" for point in points] + ([f"since={since}"] if since is not None else [])
    return f"/live/points?{'&'.join(named)}"


class Events:
    """Reads a stream by its lines."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines: Iterator[str] = iter(lines)

    def next(self) -> tuple[int, list[dict[str, Any]]]:
        """Id and values of the next event with data. Raises `StopIteration` at the end of the stream."""
        number = 0
        while True:
            field, _, value = next(self._lines).partition(": ")
            if field == "id":
                number = int(value)
            elif field == "data":
                assert number
                return number, json.loads(value)

"""`ledger status` and `/metrics`: the same figures, with the reason when something does not work."""

import json
import re
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from celery.schedules import crontab
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.formats import date_format
from structlog.testing import capture_logs

from apps.accounts.choices import MemberRole
from apps.accounts.models import User
from apps.ledger.ledgers import DEFAULT
from apps.ledger.metrics import exposition
from apps.ledger.models import LANES, Command, Lane, Stream
from apps.ledger.services.figures import figures
from apps.ledger.services.listen import LISTENER
from apps.ledger.services.sweep import drain, sweep
from apps.ledger.tasks import warn_of_all_expiries
from ledger_adapters.base import Expiry, LedgerAdapter
from ledger_adapters.exceptions import Conflict, Transient
from tests.conftest import signed_in
from tests.factories import MembershipFactory
from tests.ledger.faulty import FaultyLedger, raising
from tests.ledger.support import anchor, make_utility, queue

SAMPLE = re.compile(r"^(energymarket_ledger_\w+)\{([^}]*)\} (-?\d+)$")


def samples(text: str) -> dict[str, int]:
    """Samples by name and labels; every line has to be one, or a comment about those that follow."""
    found: dict[str, int] = {}
    announced = ""
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            announced = line.split()[2]
            continue
        if line.startswith("# HELP "):
            continue
        match = SAMPLE.match(line)
        assert match is not None, line
        assert match[1] == announced
        found[f"{match[1].removeprefix('energymarket_ledger_')}{{{match[2]}}}"] = int(match[3])
    return found


def lane_of(command_id: bytes) -> int:
    return Command.objects.get(command_id=command_id).stream.lane


def away(monkeypatch: pytest.MonkeyPatch, ledger: LedgerAdapter, message: str) -> None:
    def health() -> None:
        raise Transient(message)

    monkeypatch.setattr(ledger, "health", health)


def test_a_ledger_at_rest(ledger: FaultyLedger) -> None:
    queue(anchor(1, 1), anchor(2, 1))
    drain(DEFAULT)
    found = figures(DEFAULT)
    assert (found.failure, found.size, found.lag, found.queued, found.sent, found.in_flight) == ("", 2, 0, 0, 0, 0)
    assert (found.parked, found.waiting_seconds) == (0, None)
    assert [lane.number for lane in found.lanes] == list(range(LANES))
    assert sum(lane.streams for lane in found.lanes) == 2
    assert {reader.behind for reader in found.readers} == {0}


def test_what_waits_has_an_age(ledger: FaultyLedger) -> None:
    first, _ = queue(anchor(1, 1), anchor(1, 2))
    Command.objects.filter(command_id=first).update(created_at=timezone.now() - timedelta(minutes=5))
    found = figures(DEFAULT)
    assert found.queued == 2
    assert found.lanes[lane_of(first)].queued == 2
    assert found.waiting_seconds in range(300, 310)
    # What a person has to look at does not count as waiting for the ledger.
    Stream.objects.update(parked_by=Command.objects.get(command_id=first))
    found = figures(DEFAULT)
    assert (found.parked, found.waiting_seconds) == (1, None)


def test_a_lane_says_why_it_fails_and_that_it_is_over(ledger: FaultyLedger) -> None:
    (command,) = queue(anchor(1, 1))
    ledger.fail("submit", raising(Transient("connection refused")))
    sweep(DEFAULT)
    lane = figures(DEFAULT).lanes[lane_of(command)]
    assert (lane.last_failure, lane.over, lane.sent) == ("connection refused", False, 1)
    assert lane.failed_at is not None
    assert [other.last_failure for other in figures(DEFAULT).lanes if other.number != lane.number] == [""] * (LANES - 1)
    drain(DEFAULT)
    lane = figures(DEFAULT).lanes[lane_of(command)]
    assert (lane.last_failure, lane.over, lane.sent) == ("connection refused", True, 0)


def test_conflicts_are_counted_by_lane(ledger: FaultyLedger) -> None:
    (command,) = queue(anchor(1, 1))
    ledger.fail("submit", *[raising(Conflict("somebody was faster"))] * 9)
    sweep(DEFAULT)
    lane = figures(DEFAULT).lanes[lane_of(command)]
    assert (lane.conflicts, lane.last_failure, lane.over) == (9, "somebody was faster", False)
    drain(DEFAULT)
    lane = figures(DEFAULT).lanes[lane_of(command)]
    assert (lane.conflicts, lane.over) == (0, True)


def test_a_lease_that_holds_shows_a_worker(ledger: FaultyLedger) -> None:
    Lane.objects.create(ledger=DEFAULT, number=3, leased_until=timezone.now() + timedelta(seconds=30))
    Lane.objects.create(ledger=DEFAULT, number=4, leased_until=timezone.now() - timedelta(seconds=30))
    assert [lane.number for lane in figures(DEFAULT).lanes if lane.at_work] == [3]


def test_a_ledger_that_is_away_leaves_the_rest_and_the_reason(
    ledger: FaultyLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(anchor(1, 1))
    drain(DEFAULT)
    queue(anchor(1, 2))
    away(monkeypatch, ledger, "no route to the ledger")
    found = figures(DEFAULT)
    assert (found.failure, found.size, found.lag, found.queued) == ("no route to the ledger", None, None, 1)
    behind = {reader.name: reader.behind for reader in found.readers}
    assert behind.pop(LISTENER) is None and set(behind.values()) == {0}


def test_figures_cost_the_same_however_much_waits(ledger: FaultyLedger) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            figures(DEFAULT)
        return len(captured)

    queue(anchor(1, 1))
    few = count()
    queue(*(anchor(n, 2) for n in range(20)))
    assert count() == few <= 10


# Certificates


def good_for(monkeypatch: pytest.MonkeyPatch, ledger: LedgerAdapter, days: float, warned: float = 30.0) -> datetime:
    """The way to the ledger depends on a certificate; returns until when it is good."""
    # Half an hour more, so that a slow machine counts the same days.
    ends = (timezone.now() + timedelta(days=days, minutes=30)).replace(microsecond=0)
    expiry = Expiry("CERTIFICATE", ends, ends - timedelta(days=warned))
    monkeypatch.setattr(ledger, "expiries", lambda: (expiry,))
    return ends


@pytest.mark.parametrize(
    ("days", "warned", "near"), [(31, 30, False), (29, 30, True), (29, 7, False), (-1, 7, True), (0.1, 0, False)]
)
def test_certificate_is_near_its_end_from_some_days_on(
    days: float, warned: float, near: bool, ledger: FaultyLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = good_for(monkeypatch, ledger, days, warned)
    (found,) = figures(DEFAULT).expiries
    assert (found.setting, found.ends, found.near) == ("CERTIFICATE", ends, near)
    assert 0 <= days * 86_400 + 1_800 - found.seconds < 60
    assert samples(exposition([DEFAULT]))['certificate_seconds{ledger="default",setting="CERTIFICATE"}'] // 60 in (
        found.seconds // 60,
        found.seconds // 60 - 1,
    )


@pytest.mark.parametrize(
    ("days", "said"), [(365, "(365 days)"), (12, "(12 days), renew it"), (-1, "(ended), renew it")]
)
def test_status_says_until_when_a_certificate_is_good(
    days: int, said: str, ledger: FaultyLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = good_for(monkeypatch, ledger, days)
    assert f"certificate CERTIFICATE: until {ends.isoformat()} {said}" in printed("status").splitlines()


def test_log_warns_of_what_ends_soon_alone(ledger: FaultyLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    with capture_logs() as logs:
        good_for(monkeypatch, ledger, 31)
        warn_of_all_expiries()
        assert logs == []
        ends = good_for(monkeypatch, ledger, 29)
        warn_of_all_expiries()
    warning = {"event": "certificate_ends", "log_level": "warning"}
    assert logs == [{**warning, "ledger": DEFAULT, "setting": "CERTIFICATE", "ends": ends.isoformat()}]


def test_certificates_are_looked_at_daily() -> None:
    scheduled = settings.CELERY_BEAT_SCHEDULE["ledger.expiries"]
    assert scheduled["task"] == warn_of_all_expiries.name
    assert scheduled["schedule"] == crontab(hour="6", minute="15")


def test_ledger_without_certificates_shows_none(ledger: FaultyLedger) -> None:
    assert figures(DEFAULT).expiries == ()
    assert "certificate" not in printed("status")


# Command line


def printed(*arguments: str) -> str:
    out = StringIO()
    call_command("ledger", *arguments, stdout=out)
    return out.getvalue()


def test_status_in_words(ledger: FaultyLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    (command,) = queue(anchor(1, 1))
    ledger.fail("submit", raising(Transient("connection refused")))
    sweep(DEFAULT)
    lines = printed("status").splitlines()
    assert lines[:3] == ["ledger: default (FaultyLedger)", "answers: yes", "size: 0"]
    (lane,) = [line for line in lines if line.startswith(f"lane {lane_of(command)}:")]
    assert "0 queued, 1 sent, 0 conflicts, fails (" in lane
    assert lane.endswith("connection refused")
    away(monkeypatch, ledger, "no route")
    lines = printed("status").splitlines()
    assert lines[1:5] == ["answers: no: no route", "size: unknown", "time: unknown", "lag: unknown"]


def test_status_as_json(ledger: FaultyLedger) -> None:
    queue(anchor(1, 1))
    found = json.loads(printed("status", "--json"))
    assert (found["ledger"], found["failure"], found["queued"], len(found["lanes"])) == (DEFAULT, "", 1, LANES)
    assert set(found["lanes"][0]) >= {"number", "conflicts", "last_failure", "failed_at", "over"}


# Metrics


def test_metrics_are_the_figures(ledger: FaultyLedger) -> None:
    (command,) = queue(anchor(1, 1))
    ledger.fail("submit", raising(Transient("connection refused")))
    sweep(DEFAULT)
    found = samples(exposition([DEFAULT]))
    lane = f'{{ledger="default",lane="{lane_of(command)}"}}'
    assert found['up{ledger="default"}'] == 1
    assert found['commands_sent{ledger="default"}'] == 1
    assert found[f"lane_failing{lane}"] == 1
    drain(DEFAULT)
    found = samples(exposition([DEFAULT]))
    assert (found['size{ledger="default"}'], found[f"lane_failing{lane}"]) == (1, 0)
    assert found['reader_behind{ledger="default",reader="metering"}'] == 0


def test_a_figure_that_is_not_known_has_no_sample(ledger: FaultyLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    away(monkeypatch, ledger, 'a "quoted"\nreason')
    found = samples(exposition([DEFAULT]))
    assert found['up{ledger="default"}'] == 0
    assert not any(name.startswith(("size{", "lag{", "reader_behind{")) for name in found)


def test_metrics_for_this_machine_itself(ledger: FaultyLedger, client: Client) -> None:
    answer = client.get("/metrics")
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert samples(answer.content.decode())['up{ledger="default"}'] == 1
    assert client.post("/metrics").status_code == 405


@pytest.mark.parametrize(
    "headers",
    [
        {"REMOTE_ADDR": "192.0.2.7"},
        {"REMOTE_ADDR": ""},
        {"HTTP_X_FORWARDED_FOR": "192.0.2.7"},
        {"HTTP_X_FORWARDED_PROTO": "https"},
        {"HTTP_FORWARDED": "for=192.0.2.7"},
    ],
    ids=str,
)
def test_metrics_are_not_for_strangers_nor_for_whom_a_proxy_lets_through(
    ledger: FaultyLedger, client: Client, alice: User, headers: dict[str, Any]
) -> None:
    assert client.get("/metrics", **headers).status_code == 403
    assert signed_in(alice).get("/metrics", **headers).status_code == 403


@pytest.mark.parametrize("role", [MemberRole.STAFF, MemberRole.AUDITOR])
def test_metrics_for_those_who_look_after_the_ledger(ledger: FaultyLedger, alice: User, role: MemberRole) -> None:
    MembershipFactory.make(user=alice, party=make_utility(), role=role)
    answer = signed_in(alice).get("/metrics", REMOTE_ADDR="192.0.2.7")
    assert samples(answer.content.decode())['up{ledger="default"}'] == 1


# Pages


@pytest.mark.parametrize(("days", "near"), [(365, False), (12, True)])
def test_pages_show_until_when_a_certificate_is_good(
    days: int, near: bool, ledger: FaultyLedger, monkeypatch: pytest.MonkeyPatch, alice: User
) -> None:
    ends = date_format(good_for(monkeypatch, ledger, days), "DATE_FORMAT")
    MembershipFactory.make(user=alice, party=make_utility(), role=MemberRole.STAFF)
    portal = signed_in(alice).get("/ledger/").content.decode()
    assert f"<dt>Certificate CERTIFICATE: valid until</dt><dd>{ends}</dd>" in portal
    administration = signed_in(User.objects.create_superuser("root@example.org")).get("/admin/ledger/lane/")
    assert f"<td>CERTIFICATE</td><td>{ends}" in administration.content.decode()
    for page in (portal, administration.content.decode()):
        assert ("It ends soon and has to be renewed." in page) is near


def test_the_administration_shows_the_figures(ledger: FaultyLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    queue(anchor(1, 1))
    ledger.fail("submit", raising(Transient("connection refused")))
    sweep(DEFAULT)
    root = signed_in(User.objects.create_superuser("root@example.org"))
    page = root.get("/admin/ledger/lane/").content.decode()
    assert "default · FaultyLedger" in page
    assert "<td>connection refused</td>" in page
    away(monkeypatch, ledger, "no route")
    assert "Not reached: no route" in root.get("/admin/ledger/lane/").content.decode()


def test_staff_see_the_figures_even_while_the_ledger_is_away(
    ledger: FaultyLedger, monkeypatch: pytest.MonkeyPatch, alice: User
) -> None:
    (command,) = queue(anchor(1, 1))
    Command.objects.filter(command_id=command).update(created_at=timezone.now() - timedelta(hours=2, minutes=5))
    MembershipFactory.make(user=alice, party=make_utility(), role=MemberRole.STAFF)
    away(monkeypatch, ledger, "no route")
    page = signed_in(alice).get("/ledger/").content.decode()
    assert re.search(r"Not reached:</strong> no route", page)
    assert re.search(r"<dt>Queued</dt><dd>1</dd>", page)
    assert "2\xa0hours" in page

"""Totals of days that boxes sign: handed in here or sent straight to the ledger, they stand with the device."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django.live_server_helper import LiveServer

from apps.ledger.ledgers import DEFAULT, get_ledger
from apps.ledger.models import Command
from apps.ledger.services.sweep import drain
from apps.metering.models import DailyReport, Device
from apps.metering.services.devices import register_device
from evidence import commands
from evidence.canonical import encode_bytes
from evidence.commands.kinds import RevokeDeviceKey
from evidence.hashing import ZERO
from evidence.keys import SoftwareKey
from ledger_adapters.contract import Code
from meter_agent.daily import Energy, report
from meter_agent.destinations import Ledger, Relay
from meter_agent.journal import Journal
from tests.market import make_market
from tests.meter_agent.daily import DAYS, Box, box_config, energy_on, is_about, read_days

pytestmark = pytest.mark.django_db

URL = "/api/v1/daily-reports"
KEY = SoftwareKey.generate()
DAY = 20_600
ENERGY = Energy(5_200, 400, 3_300)


@dataclass(frozen=True)
class Site:
    device: Device
    to: Ledger

    def report(self, energy: Energy = ENERGY, key: SoftwareKey = KEY, device: bytes = b"") -> commands.Command:
        return report(self.to, device or bytes(self.device.ledger_id), DAY, energy, key)


@pytest.fixture
def site(db: None) -> Site:
    market = make_market({"Alice": 5_000})
    device = register_device(
        area=market.area, owner=market.utility, name="box", key=KEY.public_key, points=market.points.values()
    )
    drain(DEFAULT)
    genesis = get_ledger(DEFAULT).genesis()
    return Site(device, Ledger("ledger", genesis.ledger, genesis.market, Relay("http://127.0.0.1:9")))


def post(command: commands.Command) -> Any:
    return post_body({"envelope": encode_bytes(command.envelope.encode())})


def post_body(body: Any) -> Any:
    return Client().post(URL, body, content_type="application/json")


def test_a_report_is_handed_on_and_says_what_has_become_of_it(site: Site) -> None:
    command = site.report()
    first = post(command)
    assert first.status_code == 202
    assert first.json() == {"id": encode_bytes(command.id), "state": "queued", "code": None}
    assert post(command).json() == first.json()
    assert Command.objects.filter(command_id=command.id).count() == 1
    drain(DEFAULT)
    assert post(command).json() == {"id": encode_bytes(command.id), "state": "confirmed", "code": "0"}
    stands = DailyReport.objects.get()
    assert (stands.device, stands.day) == (site.device, dt.date(2026, 5, 27))
    assert (stands.generated, stands.imported, stands.exported) == (5_200, 400, 3_300)
    assert bytes(stands.command_id) == command.id


def test_a_correction_takes_the_place_of_what_it_corrects(site: Site) -> None:
    command = site.report()
    post(command)
    drain(DEFAULT)
    fields = replace(command.fields, generated=5_300, corrects=command.id)  # type: ignore[type-var]
    better = commands.Command(site.to.market, bytes(32), fields).signed_by(site.to.id, KEY)
    assert post(better).status_code == 202
    drain(DEFAULT)
    assert DailyReport.objects.get().generated == 5_300


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda site: site.report(key=SoftwareKey.generate()), Code.WRONG_SIGNER),
        (lambda site: replace(site.report(), signatures=()), Code.SIGNATURE_COUNT),
        (lambda site: replace(site.report(), nonce=b"\x01" * 32), Code.BAD_SIGNATURE),
        (lambda site: replace(site.report(), market=b"\x01" * 32), Code.WRONG_MARKET),
    ],
)
def test_what_the_ledger_would_refuse_is_never_queued(site: Site, change: Any, rule: Code) -> None:
    before = Command.objects.count()
    answer = post(change(site))
    assert answer.status_code == 422, answer.content
    assert answer.json()["errors"][0]["rule"] == rule.name.lower()
    assert Command.objects.count() == before


def test_a_second_report_of_a_day_that_names_nothing_is_refused(site: Site) -> None:
    post(site.report())
    fields = replace(site.report().fields, generated=1)  # type: ignore[type-var]
    other = commands.Command(site.to.market, b"\x05" * 32, fields).signed_by(site.to.id, KEY)
    assert post(other).json()["errors"][0]["rule"] == "already_reported"


def test_another_devices_name_and_other_kinds_are_refused(site: Site) -> None:
    assert post(site.report(device=b"\x01" * 32)).status_code == 404
    revocation = commands.Command(
        site.to.market, ZERO, RevokeDeviceKey(bytes(site.device.ledger_id), KEY.public_key.id)
    ).signed_by(site.to.id, KEY)
    assert post(revocation).status_code == 400
    wrong: list[Any] = [{}, [], {"envelope": 5}, {"envelope": "!"}, {"envelope": ""}, {"envelope": "AAAA", "more": 1}]
    for body in wrong:
        assert post_body(body).status_code == 400, body
    assert post_body({"envelope": "A" * 1_000_001}).status_code == 413


@pytest.fixture
def box(transactional_db: None, live_server: LiveServer, tmp_path: Path) -> Iterator[tuple[Box, Device]]:
    market = make_market({"Alice": 5_000})
    device = register_device(
        area=market.area, owner=market.utility, name="box", key=KEY.public_key, points=market.points.values()
    )
    drain(DEFAULT)
    genesis = get_ledger(DEFAULT).genesis()
    to = Ledger("ledger", genesis.ledger, genesis.market, Relay(live_server.url))
    config = box_config(tmp_path, bytes(device.ledger_id))
    with Journal(config.journal, config.device) as journal:
        yield Box(config, journal, to, KEY), device


@pytest.mark.django_db(transaction=True)
def test_a_box_hands_its_days_in_and_hears_when_they_are_on_the_ledger(box: tuple[Box, Device]) -> None:
    reporting, device = box
    read_days(reporting.config, reporting.journal)
    assert reporting.report(attempts=1), "they are handed in"
    assert [state for _, state, _ in reporting.states] == ["waiting"] * 3
    drain(DEFAULT)
    assert reporting.report(attempts=1), "and asked for"
    assert [state for _, state, _ in reporting.states] == ["done"] * 3
    found = {each.day: Energy(each.generated, each.imported, each.exported) for each in device.daily_reports.all()}
    assert set(found) == set(DAYS)
    assert all(is_about(found[day], energy_on(day)) for day in DAYS)

"""What a box and its installer do until it is live, and how it is undone."""

import datetime as dt
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.permissions import Action, Viewer
from apps.assets.services import reading_secret
from apps.ledger.choices import LedgerState
from apps.ledger.ledgers import DEFAULT
from apps.ledger.services.sweep import drain
from apps.metering.choices import EnrolmentState, MeterRole
from apps.metering.exceptions import EnrolmentError
from apps.metering.models import Device, EnrolmentCode, FoundMeter, Instruction
from apps.metering.services import enrolment as services
from evidence.boxes import new_code
from evidence.canonical import decode_bytes, encode_bytes
from evidence.keys import Algorithm, SoftwareKey
from tests.conftest import signed_in
from tests.endorsement import Authority
from tests.metering.enrolling import GRID, METERS, ROOF, SERVER, Box, Market, found, make_enrolment, send
from tests.metering.head_end import assert_refused
from tests.metering.tpm_by_hand import Area, PrivateKey, activate, endorsement_area


@pytest.fixture
def market(db: None) -> Market:
    cache.clear()
    return make_enrolment()


@pytest.fixture
def box(market: Market) -> Box:
    return Box(market.code)


def test_a_box_waits_for_its_installer_and_then_gets_signed_settings(market: Market, box: Box) -> None:
    response = box.post()
    assert response.status_code == 202
    assert box.told() == {"state": "waiting"}
    assert [meter.settings for meter in market.row.meters.all()] == [ROOF, GRID]
    market.assign()
    device = services.configure(market.row, market.clerk)
    drain(DEFAULT)
    device.refresh_from_db()
    assert device.ledger_state == LedgerState.CONFIRMED
    assert [key.public_key for key in device.keys.all()] == [box.key.public_key]
    assert box.post().status_code == 200
    given = box.configuration()
    settings = json.loads(given.body)
    trusted = settings.pop("trusted")
    issuer = market.area.utility.keys.get().public_key
    assert issuer.verifies(given.said.digest, given.signature)
    assert trusted == [{"algorithm": 1, "x": issuer.x.hex(), "y": issuer.y.hex()}]
    assert given.said.sequence == 1
    ledger = settings["destinations"].pop()
    assert (ledger["kind"], ledger["via"], ledger["server"]) == ("ledger", "relay", SERVER)
    assert settings == {
        "device": bytes(device.ledger_id).hex(),
        "destinations": [{"name": "market", "kind": "market", "server": SERVER}],
        "time_zone": "Europe/Berlin",
        "slot_minutes": 15,
        "points": [
            {
                "id": bytes(market.point.ledger_id).hex(),
                "secret": reading_secret(market.point.occupancies.get()).hex(),
                "generation": ROOF,
                "grid": GRID,
            }
        ],
    }


def test_the_secrets_of_readings_are_sealed_and_not_shown(market: Market, box: Box) -> None:
    box.told()
    market.assign()
    services.configure(market.row, market.clerk)
    secret = reading_secret(market.point.occupancies.get()).hex()
    stored = Instruction.objects.get()
    assert secret in stored.body.decode()
    assert secret.encode() not in bytes(stored.sealed_body)
    User.objects.filter(pk=market.clerk.pk).update(is_staff=True)
    shown = signed_in(market.clerk).get(reverse("admin:metering_instruction_change", args=[stored.pk])).content.decode()
    assert bytes(market.point.ledger_id).hex() in shown
    assert secret not in shown


def test_a_box_goes_live_once_its_meters_were_read(market: Market, box: Box) -> None:
    box.told()
    market.assign()
    services.configure(market.row, market.clerk)
    with pytest.raises(EnrolmentError, match="once it has read each of its meters"):
        services.go_live(market.row, market.clerk)
    box.told(box.tests(market, error="no answer"))
    with pytest.raises(EnrolmentError, match="once it has read each of its meters"):
        services.go_live(market.row, market.clerk)
    assert [meter.error for meter in market.row.meters.all()] == ["no answer", "no answer"]
    box.told(box.tests(market))
    services.go_live(market.row, market.clerk)
    assert box.told()["state"] == "live"
    assert (market.row.state, market.row.live_by) == (EnrolmentState.LIVE, market.clerk)


def test_readings_by_settings_that_were_replaced_do_not_count(market: Market, box: Box) -> None:
    box.told()
    market.assign()
    services.configure(market.row, market.clerk)
    box.told(box.tests(market))
    roof, grid = market.row.meters.all()
    services.set_roles(market.row, {roof.pk: MeterRole.GRID, grid.pk: MeterRole.GENERATION})
    services.set_points(market.row, MeterRole.GRID, {roof.pk: market.point})
    services.set_points(market.row, MeterRole.GENERATION, {grid.pk: market.point})
    services.configure(market.row, market.clerk)
    box.told(box.tests(market, sequence=1))
    assert not services.is_tested(market.row)
    given = box.configuration()
    assert given.said.sequence == 2
    assert json.loads(given.body)["points"][0]["grid"] == ROOF
    box.told(box.tests(market, sequence=2))
    assert services.is_tested(market.row)
    assert Device.objects.count() == 1


def test_a_box_whose_answer_was_lost_asks_again(market: Market, box: Box) -> None:
    """The same bytes, at every step; what was done is not done twice."""
    request = box.request()
    assert [send(request).status_code for _ in range(3)] == [202] * 3
    used_at = market.row.used_at
    market.assign()
    services.configure(market.row, market.clerk)
    answers = [send(request).json() for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert market.row.used_at == used_at
    assert Device.objects.get().instructions.count() == 1


def refused(market: Market, box: Box, how: str) -> Any:
    if how == "unknown code":
        return Box(new_code()).post()
    if how == "wrong proof":
        return box.post(code=new_code())
    if how == "another key signed":
        return box.post(signer=SoftwareKey.generate())
    if how == "used by another box":
        Box(market.code).told()
        return box.post()
    if how == "expired":
        EnrolmentCode.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))
        return box.post()
    services.undo(market.row, market.clerk)
    return box.post()


@pytest.mark.parametrize(
    "how", ["unknown code", "wrong proof", "another key signed", "used by another box", "expired", "undone"]
)
def test_whoever_may_not_use_a_code_hears_always_the_same(market: Market, box: Box, how: str) -> None:
    expected = Box(new_code()).post()
    assert_refused(expected, 403, "enrolment", "refused")
    before = list(EnrolmentCode.objects.values("state", "x"))
    response = refused(market, box, how)
    assert response.status_code == expected.status_code
    assert response.content == expected.content
    if how not in ("used by another box", "undone"):
        assert list(EnrolmentCode.objects.values("state", "x")) == before


def test_a_code_that_was_used_in_time_holds_until_the_box_is_live(market: Market, box: Box) -> None:
    box.told()
    EnrolmentCode.objects.update(expires_at=timezone.now() - dt.timedelta(days=30))
    assert box.told() == {"state": "waiting"}


def test_a_key_that_is_registered_already_enrols_no_second_box(market: Market, box: Box) -> None:
    box.told()
    market.assign()
    services.configure(market.row, market.clerk)
    second = services.make_code(area=market.area, name="box 2", by=market.clerk)
    response = Box(second.code or "", box.key).post()
    assert_refused(response, 409, "enrolment.x", "known_key")
    second.refresh_from_db()
    assert (second.state, second.x) == (EnrolmentState.OPEN, None)


def test_an_area_may_want_keys_that_cannot_leave_their_chip(market: Market, box: Box) -> None:
    market.area.software_keys = False
    market.area.save()
    assert_refused(box.post(), 422, "body.attestation", "needed")
    assert market.row.state == EnrolmentState.OPEN


@dataclass
class Chip:
    """A TPM of a known maker, and the key that it holds."""

    maker: Authority
    ek: PrivateKey
    key: SoftwareKey
    area: Area

    @property
    def material(self) -> dict[str, str]:
        parts = (self.maker.certify(self.ek.public_key()), bytes(endorsement_area(self.ek)), bytes(self.area))
        names = ("ek_certificate", "ek_public", "key_public")
        return {name: encode_bytes(part) for name, part in zip(names, parts, strict=True)}

    def answer(self, credential: str) -> dict[str, str]:
        return {"secret": encode_bytes(activate(self.ek, self.area.name, decode_bytes(credential)))}


@pytest.fixture
def chip(market: Market, tmp_path: Path, settings: Any) -> Chip:
    """In an area that wants one."""
    market.area.software_keys = False
    market.area.save()
    maker = Authority(until=timezone.now() + dt.timedelta(days=1))
    settings.TPM_AUTHORITIES = tmp_path / "makers.pem"
    settings.TPM_AUTHORITIES.write_bytes(maker.certificate.public_bytes(Encoding.PEM))
    private = ec.generate_private_key(ec.SECP256R1())
    key = SoftwareKey(Algorithm.P256, private.private_numbers().private_value.to_bytes(32, "big"))
    return Chip(maker, ec.generate_private_key(ec.SECP256R1()), key, Area(private.public_key()))


def test_a_box_shows_that_its_key_is_in_a_tpm(market: Market, chip: Chip) -> None:
    box = Box(market.code, chip.key)
    first = box.told(box.content(attestation=chip.material))
    assert first["state"] == "challenged"
    # The answer was lost: the box begins again, and only the last challenge counts.
    told = box.told(box.content(attestation=chip.material))
    old = box.post(box.content(attestation=chip.answer(first["credential"])))
    assert_refused(old, 422, "body.attestation", "wrong_secret")
    assert market.row.state == EnrolmentState.CHALLENGED
    assert box.told(box.content(attestation=chip.answer(told["credential"]))) == {"state": "waiting"}
    assert market.row.attestation is not None
    assert set(market.row.attestation) == {"tpm"}


def test_a_challenge_that_was_not_answered_says_nothing_about_a_key(market: Market, chip: Chip) -> None:
    market.area.software_keys = True
    market.area.save()
    box = Box(market.code, chip.key)
    assert box.told(box.content(attestation=chip.material))["state"] == "challenged"
    assert box.told(box.content()) == {"state": "waiting"}
    assert market.row.attestation is None


def test_a_tpm_shows_its_own_key_only(market: Market, chip: Chip) -> None:
    box = Box(market.code)
    assert_refused(box.post(box.content(attestation=chip.material)), 422, "body.attestation", "another_key")


def test_a_tpm_of_an_unknown_maker_is_not_believed(market: Market, chip: Chip) -> None:
    box = Box(market.code, chip.key)
    stranger = replace(chip, maker=Authority(until=timezone.now() + dt.timedelta(days=1)))
    assert_refused(box.post(box.content(attestation=stranger.material)), 422, "body.attestation", "foreign_ek")
    assert_refused(box.post(box.content(attestation={"secret": "AA"})), 422, "body.attestation", "needed")
    assert_refused(box.post(box.content(attestation={"secret": "!"})), 422, "body.attestation", "format")
    assert market.row.state == EnrolmentState.OPEN


LONE = b'{"agent":"\\ud800","server":"https://m.example","meters":[],"tests":[],"problem":"","attestation":{}}'


@pytest.mark.parametrize(
    ("content", "field", "rule"),
    [
        (b"[" * 40, "body", "format"),
        (b"\xff", "body", "format"),
        (LONE, "body", "format"),
        (LONE.replace(b"\\ud800", b"\\u0000"), "body", "format"),
        (b"x" * 64_001, "body", "too_large"),
        (b"[]", "body", "members"),
        ({"agent": "1"}, "body", "members"),
        ({"agent": 1}, "body.agent", "format"),
        ({"agent": "1" * 51}, "body.agent", "too_long"),
        ({"server": "market"}, "body.server", "format"),
        ({"server": "https://[::1"}, "body.server", "format"),
        ({"meters": [found(ROOF)] * 65}, "body.meters", "too_many"),
        ({"meters": [{}]}, "body.meters[0]", "members"),
        ({"meters": [found({"bus": "x" * 1000})]}, "body.meters[0].settings", "too_long"),
        ({"meters": [found(ROOF, **{"import": -1})]}, "body.meters[0].energy", "format"),
        ({"meters": [found(ROOF, **{"import": 2**63})]}, "body.meters[0].energy", "format"),
        ({"meters": [found(ROOF, heat=1)]}, "body.meters[0].energy", "format"),
        ({"meters": [found({"unit": 1.5})]}, "body", "format"),
        ({"tests": [{"sequence": 1}]}, "body.tests[0]", "members"),
    ],
)
def test_a_body_in_another_form_is_named(market: Market, box: Box, content: Any, field: str, rule: str) -> None:
    if isinstance(content, dict) and content != {"agent": "1"}:
        content = box.content(**content)
    assert_refused(box.post(content), 422, field, rule)
    assert market.row.state == EnrolmentState.OPEN
    assert not FoundMeter.objects.exists()


def test_a_request_in_another_form_is_named(market: Market, box: Box) -> None:
    assert_refused(send({}), 400, "", "members")
    request = box.request()
    assert_refused(send(request | {"mac": "!"}), 400, "", "format")
    assert_refused(send(request | {"body": "e30"}), 400, "", "format")
    assert_refused(send(request | {"enrolment": {}}), 400, "", "format")


def test_too_many_knocks_are_put_off(market: Market, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.metering.enrolment_api.EnrolmentThrottle.rate", "3/min")
    assert [box.post().status_code for _ in range(4)] == [202, 202, 202, 429]
    response = box.post()
    assert 0 < int(response["Retry-After"]) <= 60


def test_meters_found_later_join_those_found_before(market: Market, box: Box) -> None:
    box.told(box.content(meters=METERS[:1]))
    roof = market.row.meters.get()
    services.set_roles(market.row, {roof.pk: MeterRole.GENERATION})
    box.told(box.content(meters=[found(ROOF, export=1_600), METERS[1]]))
    again, grid = market.row.meters.all()
    assert (again.pk, again.role, again.energy) == (roof.pk, MeterRole.GENERATION, {"export": 1_600})
    assert (grid.settings, grid.role) == (GRID, MeterRole.NONE)
    box.told(box.content(meters=[]))
    assert market.row.meters.count() == 2


def test_a_box_that_cannot_use_its_settings_says_why(market: Market, box: Box) -> None:
    box.told(box.content(problem="points[0].grid.bus: must be one of roof"))
    assert market.row.problem == "points[0].grid.bus: must be one of roof"


def test_what_lacks_is_named_before_a_box_is_configured(market: Market, box: Box) -> None:
    box.told()
    roof, grid = market.row.meters.all()

    def says(words: str) -> None:
        with pytest.raises(EnrolmentError, match=words):
            services.configure(market.row, market.clerk)

    says("at least one has to measure something")
    services.set_roles(market.row, {roof.pk: MeterRole.GENERATION})
    says("to which metering point Eastron SDM630 belongs")
    services.set_points(market.row, MeterRole.GENERATION, {roof.pk: market.flat})
    says("There is no plant at bob-1")
    services.set_points(market.row, MeterRole.GENERATION, {roof.pk: market.point})
    market.point.occupancies.update(sealed_secret=None)
    says("Nobody occupies the metering point alice-1 now")
    services.set_roles(market.row, {roof.pk: MeterRole.GRID, grid.pk: MeterRole.GRID})
    with pytest.raises(EnrolmentError, match="Two meters cannot measure the same thing"):
        services.set_points(market.row, MeterRole.GRID, {roof.pk: market.flat, grid.pk: market.flat})
    assert not Device.objects.exists()


def test_a_registered_box_keeps_its_metering_points(market: Market, box: Box) -> None:
    box.told()
    market.assign()
    services.configure(market.row, market.clerk)
    grid = market.row.meters.get(role=MeterRole.GRID)
    services.set_points(market.row, MeterRole.GRID, {grid.pk: market.flat})
    with pytest.raises(EnrolmentError, match="The ledger knows which metering points"):
        services.configure(market.row, market.clerk)


@pytest.mark.parametrize("live", [False, True])
def test_undoing_revokes_the_key_and_frees_the_metering_point(market: Market, box: Box, live: bool) -> None:
    box.told()
    market.assign()
    device = services.configure(market.row, market.clerk)
    if live:
        box.told(box.tests(market))
        services.go_live(market.row, market.clerk)
        drain(DEFAULT)
    services.undo(market.row, market.installer)
    services.undo(market.row, market.clerk)
    drain(DEFAULT)
    device.refresh_from_db()
    assert device.keys.get().revoked_at is not None
    assert not device.measurements.filter(until=None).exists()
    assert (market.row.state, market.row.undone_by, market.row.code) == (EnrolmentState.UNDONE, market.installer, None)
    assert box.post().status_code == 403
    again = services.make_code(area=market.area, name="box 1", by=market.clerk)
    Box(again.code or "").told()


def test_a_code_is_renewed_only_before_a_box_has_used_it(market: Market, box: Box) -> None:
    old = market.code
    services.renew_code(market.row)
    assert market.code != old
    assert box.post().status_code == 403
    Box(market.code).told()
    with pytest.raises(EnrolmentError, match="has used the code already"):
        services.renew_code(market.row)


def test_an_installer_has_to_do_with_their_own_enrolments_only(market: Market) -> None:
    other = services.make_code(area=market.area, name="box 2", by=market.clerk)
    installer, clerk = Viewer(market.installer), Viewer(market.clerk)
    assert installer.may(Action.ENROL_BOX, market.area)
    assert installer.may(Action.ENROL_BOX, market.row)
    assert not installer.may(Action.ENROL_BOX, other)
    assert not installer.may(Action.VIEW_METERING_POINT, market.point)
    assert clerk.may(Action.ENROL_BOX, other)

    def visible(viewer: Viewer) -> set[str]:
        rows = viewer.visible(
            Action.ENROL_BOX, EnrolmentCode.objects.all(), "area__utility", people=("made_by", "installer")
        )
        return {row.name for row in rows}

    assert visible(installer) == {"box 1"}
    assert visible(clerk) == {"box 1", "box 2"}


def test_a_knock_costs_the_same_queries_whatever_was_found(
    market: Market, box: Box, django_assert_num_queries: Any
) -> None:
    meters = [found({"bus": "roof", "unit": unit, "map": "sdm630"}, export=unit) for unit in range(1, 41)]
    box.told()
    # The throttle in its cache, the code, what it found, and itself.
    with django_assert_num_queries(11):
        box.post()
    with django_assert_num_queries(11):
        box.post(box.content(meters=meters))

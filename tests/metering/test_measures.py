"""POST /api/v1/measures: devices described, energies and counters stored, and everything that is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import ApiClient, Party
from apps.metering import readings
from apps.metering.choices import Grade, SourceKey, Use
from apps.metering.informative import latest_informative
from apps.metering.models import Batch, Device, DeviceKey, MeasureDevice, PointSource, ReadingImport
from apps.metering.services.devices import register_device
from evidence.keys import SoftwareKey
from evidence.measures import identifier_of, kilo
from evidence.readings import Quality, Reading, Register
from meter_agent.measures import credentials, measure_document
from tests.market import Market, make_market
from tests.metering.head_end import assert_refused

pytestmark = pytest.mark.django_db
URL = "/api/v1/measures"
SEED = Path(__file__).parent / "fixtures" / "energysequence_measures.json"
START = 1_780_272_000  # 2026-06-01 00:00 UTC


@pytest.fixture
def market() -> Market:
    return make_market({"alice": 10_000, "bob": 0})


@pytest.fixture
def token(market: Market) -> str:
    client = ApiClient(utility=market.utility, name="broker")
    token = client.new_token()
    client.save()
    return token


@pytest.fixture
def key() -> SoftwareKey:
    return SoftwareKey.generate()


@pytest.fixture
def box(market: Market, key: SoftwareKey) -> Device:
    points = [market.points["alice"]]
    return register_device(area=market.area, owner=market.utility, name="box", key=key.public_key, points=points)


def post(body: bytes, **headers: str) -> Any:
    return Client().post(URL, body, content_type="application/json", headers=headers)


def by_client(token: str, document: dict[str, Any]) -> Any:
    return post(json.dumps(document).encode(), Authorization=f"Bearer {token}")


def by_box(box: Device, key: SoftwareKey, body: bytes) -> Any:
    return post(body, Authorization=credentials(bytes(box.ledger_id), key, body)["Authorization"])


def at(market: Market, name: str = "bob") -> MeasureDevice:
    return MeasureDevice.objects.create(utility=market.utility, identifier="D1", point=market.points[name])


def measure(value: str, date: str, *, name: str = "EAct imp", pos: int = 1, **more: Any) -> dict[str, Any]:
    unity = "kWh" if name.startswith("EAct") else "kvarh"
    said = {"name": name, "description": "", "unity": unity, "pos": pos, "visibility": "visible"}
    return {**said, "value": value, "date": date, **more}


def document(*measures: dict[str, Any], id: str = "D1") -> dict[str, Any]:
    return {"id": id, "device_name": "Meter", "measures": list(measures)}


def stored(market: Market, name: str) -> dict[tuple[int, int], int]:
    found = readings.latest(market.area.pk, [market.points[name].pk], START, START + 86_400)
    return {(reading.register, reading.slot - START): reading.value for reading in found}


def test_the_document_of_the_source_describes_a_device(market: Market, token: str) -> None:
    response = post(SEED.read_bytes(), Authorization=f"Bearer {token}")
    assert (response.status_code, response.json()["status"]) == (200, "described")
    device = MeasureDevice.objects.get()
    assert (device.identifier, device.name, device.point) == ("59e7342dccfc03539981e48c", "IEC102 Meter LP LD", None)
    assert [(m["name"], m["pos"]) for m in device.description if m["visibility"] == "visible"] == [
        ("EAct imp", 1),
        ("EAct exp", 2),
        ("ERInd imp", 3),
        ("ERCap imp", 6),
    ]
    assert not Batch.objects.exists()


def test_the_same_document_with_values_at_a_point(market: Market, token: str) -> None:
    post(SEED.read_bytes(), Authorization=f"Bearer {token}")
    body = json.loads(SEED.read_text())
    for number, said in enumerate(body["measures"]):
        said |= {"value": f"{number + 1}.5", "date": "2026-06-01T02:00:00+02:00", "period": 900}
    assert_refused(by_client(token, body), 409, "id", "no_point")
    MeasureDevice.objects.update(point=market.points["alice"])
    response = by_client(token, body)
    assert response.json() == {"status": "stored", "stored": 4, "identical": 0, "gaps": 0}, response.content
    assert stored(market, "alice") == {
        (Register.CONSUMPTION, 0): 1500,
        (Register.GENERATION, 0): 2500,
        (Register.REACTIVE_1, 0): 3500,
        (Register.REACTIVE_4, 0): 6500,
    }
    assert {batch.grade for batch in Batch.objects.all()} == {Grade.OPERATOR_SIGNED}


def test_counters_are_differenced_from_one_document_to_the_next(market: Market, token: str) -> None:
    at(market)
    first = document(measure("100.0004", "2026-06-01T00:00:00Z"))
    assert by_client(token, first).json() == {"status": "stored", "stored": 0, "identical": 0, "gaps": 0}
    second = document(measure("100.1004", "2026-06-01T00:15:00Z"), measure("100.1018", "2026-06-01T00:30:00Z"))
    assert by_client(token, second).json()["stored"] == 2
    third = document(measure("101", "2026-06-01T01:00:00Z"))
    assert by_client(token, third).json()["stored"] == 2
    consumption = {slot: wh for (_register, slot), wh in stored(market, "bob").items()}
    assert consumption == {0: 100, 900: 1, 1800: 449, 2700: 449}
    assert by_client(token, third).json()["status"] == "known"
    assert ReadingImport.objects.filter(source=SourceKey.MEASURES).count() == 3


def test_a_counter_after_a_long_silence_goes_on_and_the_gap_is_said(market: Market, token: str) -> None:
    at(market)
    by_client(token, document(measure("1", "2026-06-01T00:00:00Z")))
    response = by_client(token, document(measure("9", "2026-06-01T06:00:00Z"), measure("9.5", "2026-06-01T06:15:00Z")))
    assert response.json() == {"status": "stored", "stored": 1, "identical": 0, "gaps": 1}
    assert stored(market, "bob") == {(Register.CONSUMPTION, 6 * 3600): 500}


def test_counters_that_cannot_be(market: Market, token: str) -> None:
    at(market)
    by_client(token, document(measure("5", "2026-06-01T01:00:00Z")))
    for value, date, status, field, rule in [
        ("4", "2026-06-01T01:15:00Z", 422, "measures[0].value", "counter_falls"),
        ("6", "2026-06-01T00:45:00Z", 409, "measures[0].date", "not_rising"),
        ("6", "2026-06-01T01:00:00Z", 422, "measures[0].time", "duplicate"),
        ("6", "2026-06-01T01:07:00Z", 422, "measures[0].date", "off_the_grid"),
        ("99999999", "2026-06-01T01:15:00Z", 422, "measures[0].value", "implausible_energy"),
    ]:
        assert_refused(by_client(token, document(measure(value, date))), status, field, rule)
    assert MeasureDevice.objects.get().counters == {"1": [START + 3600, str(5000 * 3600 * 10**15)]}
    assert stored(market, "bob") == {}


def test_what_a_box_signs_is_taken_and_signed_by_the_operator(market: Market, box: Device, key: SoftwareKey) -> None:
    alice = bytes(market.points["alice"].ledger_id)
    day = [
        Reading(alice, register, START + n * 900, 10 * n + register)
        for n in range(4)
        for register in (Register.CONSUMPTION, Register.GENERATION, Register.GRID_EXPORT, Register.REACTIVE_2)
    ]
    body = measure_document("BOX-1", "box", [*day, Reading(alice, 1, START + 3600, 1, Quality.SUBSTITUTE)], 900)
    response = by_box(box, key, body)
    assert response.json() == {"status": "stored", "stored": 16, "identical": 0, "gaps": 0}, response.content
    assert stored(market, "alice") == {(reading.register, reading.slot - START): reading.value for reading in day}
    assert {(batch.importer, batch.grade) for batch in Batch.objects.all()} == {(market.utility, Grade.OPERATOR_SIGNED)}
    assert by_box(box, key, body).json()["status"] == "known"
    assert ReadingImport.objects.get().device == box


def test_what_the_meter_signed_is_not_replaced(market: Market, token: str) -> None:
    at(market)
    by_client(token, document(measure("1", "2026-06-01T00:00:00Z", period=900)))
    Batch.objects.update(grade=Grade.DEVICE_SIGNED)
    response = by_client(token, document(measure("2", "2026-06-01T00:00:00Z", period=900)))
    assert_refused(response, 422, "measures[0].value", "signed_by_meter")


def test_documents_that_only_inform(market: Market, token: str) -> None:
    at(market)
    bob = market.points["bob"]
    PointSource.objects.create(point=bob, source=SourceKey.MEASURES, use=Use.INFORMATIVE)
    assert by_client(token, document(measure("1", "2026-06-01T00:00:00Z", period=900))).json()["stored"] == 1
    assert stored(market, "bob") == {}
    kept = latest_informative(market.area.pk, bob.pk, START, START + 900, SourceKey.MEASURES)
    assert [reading.value for reading in kept] == [1000]


def test_who_may_not_send(market: Market, box: Device, key: SoftwareKey, token: str) -> None:
    body = json.dumps(document(measure("1", "2026-06-01T00:00:00Z", period=900))).encode()
    good = credentials(bytes(box.ledger_id), key, body)["Authorization"]
    assert post(body).status_code == 401
    assert post(body, Authorization="Bearer em_nobody").status_code == 401
    assert post(body, Authorization="Basic YTpi").status_code == 401
    assert_refused(post(body, Authorization="Box !"), 400, "document", "format")
    assert_refused(post(body, Authorization="Box AAAA"), 400, "document", "format")
    assert_refused(post(body + b" ", Authorization=good), 403, "document.body", "wrong_body")
    stranger = credentials(bytes(box.ledger_id), SoftwareKey.generate(), body)["Authorization"]
    assert_refused(post(body, Authorization=stranger), 403, "document.key", "unknown_key")
    assert_refused(post(body, Authorization=good[:-4] + "AAAA"), 403, "signature", "wrong_signature")
    DeviceKey.objects.update(revoked_at=timezone.now())
    assert_refused(post(body, Authorization=good), 403, "document.key", "revoked_key")
    ApiClient.objects.update(revoked_at=timezone.now())
    assert post(body, Authorization=f"Bearer {token}").status_code == 401
    assert not MeasureDevice.objects.exists()


def test_nobody_speaks_for_another_senders_device(market: Market, box: Device, key: SoftwareKey, token: str) -> None:
    said = document(measure("1", "2026-06-01T00:00:00Z", period=900))
    assert by_box(box, key, json.dumps(said).encode()).status_code == 200
    assert_refused(by_client(token, said), 403, "id", "other_sender")
    elsewhere = Party.objects.create(name="Elsewhere", role=1, kind="organisation", ledger="elsewhere")
    client = ApiClient(utility=elsewhere, name="broker")
    other_token = client.new_token()
    client.save()
    assert_refused(by_client(other_token, said), 409, "id", "no_point")
    assert stored(market, "alice") == {(Register.CONSUMPTION, 0): 1000}


GOOD = measure("1", "2026-06-01T00:00:00Z", period=900)
WITHOUT_DATE = {name: value for name, value in GOOD.items() if name != "date"}


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"value": 1}, "value", "format"),
        ({"value": "1,5"}, "value", "not_a_number"),
        ({"value": "-1"}, "value", "negative"),
        ({"value": "NaN"}, "value", "not_finite"),
        ({"date": "2026-06-01T00:00:00"}, "date", "no_time"),
        ({"date": "2026-06-31T00:00:00Z"}, "date", "no_time"),
        ({"date": "2999-06-01T00:00:00Z"}, "time", "in_the_future"),
        ({"date": "2026-06-01T00:20:00Z"}, "time", "incomplete_slot"),
        ({"period": 86_400}, "period", "format"),
        ({"period": True}, "period", "format"),
        ({"pos": 0}, "pos", "format"),
        ({"name": "Temp"}, "name", "unknown_register"),
        ({"unity": "kvarh"}, "unity", "other_unit"),
        ({"visibility": "hidden"}, "visibility", "format"),
        ({"name": 7}, "name", "format"),
        ({"extra": "x"}, "", "members"),
    ],
)
def test_a_measure_that_is_wrong(market: Market, token: str, change: dict[str, Any], field: str, rule: str) -> None:
    at(market)
    response = by_client(token, document(GOOD, GOOD | {"date": "2026-06-01T00:15:00Z"} | change))
    assert_refused(response, 422, f"measures[1].{field}".rstrip("."), rule)
    assert stored(market, "bob") == {}


def test_documents_that_are_none(market: Market, token: str) -> None:
    at(market)
    assert_refused(by_client(token, document(WITHOUT_DATE)), 422, "measures[0].value", "members")
    two = document(GOOD, GOOD | {"pos": 7, "date": "2026-06-01T00:15:00Z"})
    assert_refused(by_client(token, two), 422, "measures[1].pos", "register_twice")
    for body, field, rule in [
        ([], "", "members"),
        ({"id": "x"}, "", "members"),
        ({**document(GOOD), "id": ""}, "id", "format"),
        ({**document(GOOD), "device_name": 1}, "device_name", "format"),
        (document(), "measures", "format"),
        (document(*[{}] * 10_001), "measures", "format"),
        (document(*[GOOD | {"pos": n} for n in range(1, 200)]), "measures", "too_many"),
    ]:
        assert_refused(post(json.dumps(body).encode(), Authorization=f"Bearer {token}"), 422, field, rule)
    assert_refused(post(b" " * 1_000_001, Authorization=f"Bearer {token}"), 413, "", "too_large")
    for raw in (b"{", b"1.5", b'{"a":1,"a":2}', b"[" * 100_000):
        assert post(raw, Authorization=f"Bearer {token}").status_code == 400


def test_decimals_and_identifiers() -> None:
    assert [kilo(value) for value in (0, 7, 1234, -1)] == ["0.000", "0.007", "1.234", "-0.001"]
    assert identifier_of('ObjectId("59e7342dccfc03539981e48c")') == "59e7342dccfc03539981e48c"
    assert identifier_of("59e7342dccfc03539981e48c") == "59e7342dccfc03539981e48c"

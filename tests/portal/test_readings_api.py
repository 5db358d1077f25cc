"""Readings and their evidence over the API: who gets them, in which form, and that the verifier accepts them."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from apps.assets.models import MeteringPoint
from apps.assets.services import reading_secret
from apps.ledger.ledgers import DEFAULT
from apps.ledger.services.founding import trust_anchors
from apps.ledger.services.sweep import drain
from apps.metering.choices import SourceKey
from apps.metering.models import Batch, DeviceKey, ReadingImport
from apps.metering.services.anchors import anchor_batches
from apps.metering.services.batches import accept_batch
from apps.metering.services.devices import register_device
from apps.metering.services.imports import import_series
from evidence import canonical, merkle
from evidence.canonical import decode_bytes, encode_bytes
from evidence.keys import PublicKey, SoftwareKey
from evidence.merkle import root_from_path
from evidence.readings import LeafValue, Quality, Reading, Register, Statement, batch_root, leaf
from evidence.verify import VerificationError, verify_readings
from evidence.verify.command_line import main
from market_math.slots import day_slots
from tests.portal.world import FIRST, OPEN, PEOPLE, World

READERS = ("alice", "clerk", "auditor")
NEXT = OPEN + dt.timedelta(days=1)


def id_of(point: MeteringPoint) -> str:
    return encode_bytes(bytes(point.ledger_id))


def url(world: World, what: str) -> str:
    return f"/api/v1/metering-points/{id_of(world.alice_point)}/{what}"


def slot_of(world: World, day: dt.date = FIRST) -> int:
    return day_slots(day, world.market.area.zone, 60).start


def asked(world: World, person: str, what: str, **query: Any) -> Any:
    return world.client(person).get(url(world, what), query)


def evidence_query(world: World, register: int = Register.CONSUMPTION) -> dict[str, str]:
    return {"slot": str(slot_of(world)), "register": str(int(register))}


def trusted() -> bytes:
    return trust_anchors(DEFAULT)


@pytest.mark.parametrize("person", PEOPLE)
def test_who_gets_readings_and_evidence(world: World, person: str) -> None:
    status = 200 if person in READERS else 403 if person == "guest" else 404
    query = evidence_query(world)
    for what, given in (
        ("readings", {"day": str(FIRST)}),
        ("evidence", query),
        ("evidence/bundle", query),
    ):
        response = asked(world, person, what, **given)
        assert response.status_code == status, (what, response.content)
        if status != 200:
            assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("person", PEOPLE)
def test_the_list_has_only_what_may_be_seen(world: World, person: str) -> None:
    response = world.client(person).get("/api/v1/metering-points")
    if person == "guest":
        assert response.status_code == 403
        return
    codes = {point["code"] for point in response.json()["points"]}
    wanted = {"alice": {"alice-1"}, "bob": {"bob-1"}, "outsider": {"elsewhere-1"}}
    assert codes == wanted.get(person, {"alice-1", "bob-1"})


def test_a_day_with_its_sources(world: World) -> None:
    body = asked(world, "alice", "readings", day=str(FIRST)).json()
    assert (body["point"], body["day"], len(body["readings"])) == (id_of(world.alice_point), str(FIRST), 48)
    first = body["readings"][0]
    assert first.pop("received").endswith("Z")
    assert first == {
        "slot": str(slot_of(world)),
        "register": "1",
        "value": "500",
        "unit": "Wh",
        "quality": "1",
        "version": "0",
        "current": True,
        "grade": "2",
        "source": {"kind": "import", "name": "Utility"},
    }


def test_what_came_in_a_file_names_the_kind_of_file(world: World) -> None:
    brought = ReadingImport.objects.create(
        area=world.market.area, source=SourceKey.MSCONS, name="a.txt", sha256=b"\x01" * 32, size=1
    )
    Batch.objects.filter(day=FIRST).update(brought_by=brought)
    body = asked(world, "alice", "readings", day=str(FIRST)).json()
    assert body["readings"][0]["source"] == {"kind": "import", "name": "Utility", "file": "MSCONS"}
    query = {"slot": str(slot_of(world)), "register": "1"}
    page = world.client("alice").get(f"/metering-points/{world.alice_point.pk}/reading/", query).content.decode()
    assert "imported and signed by Utility (MSCONS)" in page


def test_long_days_come_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.portal.readings_api.PAGE", 20)
    client, found, address = world.client("alice"), [], f"{url(world, 'readings')}?day={FIRST}"
    while address:
        body = client.get(address).json()
        found += [(reading["slot"], reading["register"]) for reading in body["readings"]]
        address = body.get("next", "")
    assert len(found) == len(set(found)) == 48


def test_what_was_known_at_an_instant(world: World) -> None:
    before = Batch.objects.latest("pk").received_at
    slots = day_slots(FIRST, world.market.area.zone, 60)
    point = world.alice_point
    import_series(world.market.area, world.market.utility, {point: {Register.CONSUMPTION: {slots[0]: 501}}})
    now = [
        r for r in asked(world, "alice", "readings", day=str(FIRST)).json()["readings"] if r["slot"] == str(slots[0])
    ]
    assert [(r["register"], r["value"], r["current"]) for r in now] == [
        ("1", "500", False),
        ("1", "501", True),
        ("2", "0", True),
    ]
    then = asked(world, "alice", "readings", day=str(FIRST), known_at=before.isoformat()).json()["readings"]
    assert [(r["value"], r["current"]) for r in then if r["slot"] == str(slots[0])] == [("500", True), ("0", True)]
    early = asked(world, "alice", "readings", day=str(FIRST), known_at="2020-01-01T00:00:00Z").json()
    assert early["readings"] == []


@pytest.mark.parametrize(
    ("what", "query", "field"),
    [
        ("readings", {}, "day"),
        ("readings", {"day": "nonsense"}, "day"),
        ("readings", {"day": "9999-12-31"}, "day"),
        ("readings", {"day": "2026-06-01", "known_at": "yesterday"}, "known_at"),
        ("readings", {"day": "2026-06-01", "known_at": "2026-06-01T12:00:00"}, "known_at"),
        ("readings", {"day": "2026-06-01", "known_at": "2026-13-41T12:00:00Z"}, "known_at"),
        ("readings", {"day": "2026-06-01", "after": "-1"}, "after"),
        ("evidence", {"register": "1"}, "slot"),
        ("evidence", {"slot": "1e3", "register": "1"}, "slot"),
        ("evidence", {"slot": "9" * 30, "register": "1"}, "slot"),
        ("evidence/bundle", {"slot": "0"}, "register"),
    ],
)
def test_what_cannot_be_read_is_named(world: World, what: str, query: dict[str, str], field: str) -> None:
    response = asked(world, "alice", what, **query)
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]


def test_the_evidence_leads_to_what_was_signed(world: World) -> None:
    body = asked(world, "alice", "evidence", **evidence_query(world, Register.GENERATION)).json()
    shown = body["leaf"]
    content = leaf(decode_bytes(shown["salt"]), decode_bytes(shown["id"]), decode_bytes(shown["value"]))
    assert decode_bytes(shown["hash"]) == content
    path = merkle.Path(int(body["path"]["size"]), tuple(decode_bytes(each) for each in body["path"]["hashes"]))
    statement = Statement.decode(decode_bytes(body["statement"]))
    assert root_from_path([(int(shown["index"]), merkle.leaf_hash(content))], path) == statement.root
    key = world.market.utility.keys.get().public_key
    assert key.verifies(statement.digest, decode_bytes(body["signature"]))
    assert body["ledger"]["state"] == "confirmed" and body["anchor"]["day"] == str(FIRST)
    assert body["bundle"].startswith("http://testserver/api/v1/metering-points/")


def test_the_verifier_accepts_the_bundle_and_no_other(world: World, tmp_path: Path, capsys: Any) -> None:
    text = asked(world, "alice", "evidence/bundle", **evidence_query(world)).content
    report = verify_readings(text, trusted())
    assert [(r.register, r.slot, r.value, r.grade) for r in report.readings] == [
        (Register.CONSUMPTION, slot_of(world), 500, 2)
    ]
    assert report.grades == {2: 1}
    bundle, trust = tmp_path / "bundle.json", tmp_path / "anchors.json"
    bundle.write_bytes(text)
    trust.write_bytes(trusted())
    run(bundle, trust, 0)
    said = capsys.readouterr().out
    assert "verified readings: 1 readings are signed and anchored on the ledger" in said
    assert "consumption: 500 Wh, grade 2 (operator signed)" in said
    bundle.write_bytes(changed_value(text))
    run(bundle, trust, 1)
    assert "REFUSED  batches[0].readings" in capsys.readouterr().out


def run(bundle: Path, trust: Path, status: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["energymarket-verify", str(bundle), "--trust", str(trust)])
        assert main() == status


def changed_value(text: bytes) -> bytes:
    value = json.loads(text)
    reading = value["batches"][0]["readings"][0]
    reading["value"] = encode_bytes(LeafValue(501, Quality.TRUE_VALUE).encode())
    return canonical.dumps(value)


def test_every_changed_byte_of_a_bundle_is_noticed(world: World) -> None:
    """Digits and letters of every string in it, one after another; what is left out is missed too."""
    text = asked(world, "alice", "evidence/bundle", **evidence_query(world)).content
    trust = trusted()
    places = range(0, len(text), 37)
    for place in places:
        if chr(text[place]).isalnum():
            other = text[:place] + (b"B" if text[place] != ord("B") else b"C") + text[place + 1 :]
            with pytest.raises(VerificationError):
                verify_readings(other, trust)
    for name in ("area", "point", "ledger", "batches"):
        value = json.loads(text)
        del value[name]
        with pytest.raises(VerificationError):
            verify_readings(canonical.dumps(value), trust)


def boxed(world: World, key: SoftwareKey, unit_registers: tuple[int, ...], *, anchored: bool) -> None:
    """Alice's box measures a day of some registers."""
    public: PublicKey = key.public_key
    area = world.market.area
    device = register_device(
        area=area, owner=world.market.party("alice"), name="B", key=public, points=[world.alice_point]
    )
    drain(DEFAULT)

    point = bytes(world.alice_point.ledger_id)
    slots = day_slots(NEXT, area.zone, 60)
    content = [Reading(point, register, slot, 11) for register in unit_registers for slot in slots]
    secrets = {point: reading_secret(world.alice_point.occupancies.get())}
    unit = Register(unit_registers[0]).unit
    root = batch_root(content, secrets)
    statement = Statement(bytes(device.ledger_id), public.id, 1, slots.start, slots.stop, unit, len(content), root)
    accept_batch(statement, key.sign(statement.digest), content)
    if anchored:
        anchor_batches(area)
        drain(DEFAULT)
    assert DeviceKey.objects.get(device=device).key_id


def test_reactive_energy_signed_by_a_box_is_proven_in_varh(world: World) -> None:
    boxed(world, SoftwareKey.generate(), (Register.REACTIVE_1, Register.REACTIVE_4), anchored=True)
    query = {"slot": str(slot_of(world, NEXT)), "register": "8"}
    body = asked(world, "alice", "evidence", **query).json()
    assert (body["unit"], body["grade"], body["source"]) == ("varh", "1", {"kind": "device", "name": "B"})
    report = verify_readings(asked(world, "alice", "evidence/bundle", **query).content, trusted())
    assert [(r.register, r.value, r.grade) for r in report.readings] == [(Register.REACTIVE_4, 11, 1)]


def test_before_the_ledger_has_it_there_is_no_bundle(world: World) -> None:
    boxed(world, SoftwareKey.generate(), (Register.GRID_EXPORT,), anchored=False)
    query = {"slot": str(slot_of(world, NEXT)), "register": "4"}
    body = asked(world, "alice", "evidence", **query).json()
    assert not {"anchor", "ledger", "bundle"} & set(body)
    response = asked(world, "alice", "evidence/bundle", **query)
    assert response.status_code == 409
    assert response.json()["errors"][0]["rule"] == "no_evidence"


def test_what_was_erased_cannot_be_shown_to_belong(world: World) -> None:
    world.alice_point.occupancies.update(sealed_secret=None)
    assert asked(world, "alice", "evidence", **evidence_query(world)).status_code == 409
    assert asked(world, "alice", "evidence/bundle", **evidence_query(world)).status_code == 409
    page = world.client("alice").get(f"/metering-points/{world.alice_point.pk}/reading/", evidence_query(world))
    assert page.status_code == 200 and "was erased" in page.content.decode()


def test_a_customer_does_not_see_what_the_one_before_used(world: World) -> None:
    world.alice_point.occupancies.update(since=OPEN)
    assert asked(world, "alice", "readings", day=str(FIRST)).json()["readings"] == []
    assert asked(world, "alice", "evidence", **evidence_query(world)).status_code == 404
    assert len(asked(world, "clerk", "readings", day=str(FIRST)).json()["readings"]) == 48


@pytest.mark.parametrize("person", PEOPLE)
def test_a_virtual_point_is_computed_and_says_from_what(world: World, person: str) -> None:
    address = f"/api/v1/virtual-points/{encode_bytes(bytes(world.virtual.ledger_id))}/readings?day={FIRST}"
    response = world.client(person).get(address)
    if person not in READERS:
        assert response.status_code == (403 if person == "guest" else 404)
        return
    (register,) = response.json()["registers"]
    alice = id_of(world.alice_point)
    assert register["computed_from"] == [
        {"sign": "1", "point": alice, "virtual": False, "register": "1"},
        {"sign": "-1", "point": alice, "virtual": False, "register": "2"},
    ]
    assert [reading["value"] for reading in register["readings"]] == ["500"] * 8 + ["-1500"] * 8 + ["500"] * 8
    assert {reading["grade"] for reading in register["readings"]} == {"2"}


def test_the_schema_describes_it(world: World) -> None:
    response = world.client("clerk").get("/api/schema", headers={"accept": "application/vnd.oai.openapi+json"})
    paths = response.json()["paths"]
    for what in ("readings", "evidence", "evidence/bundle"):
        operation = paths[f"/api/v1/metering-points/{{point_id}}/{what}"]["get"]
        assert {"200", "400", "403", "404"} <= set(operation["responses"])
    batches = paths["/api/v1/meter-batches"]["post"]
    assert "varh" in batches["description"]

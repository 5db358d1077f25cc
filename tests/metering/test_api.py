"""POST /api/v1/meter-batches: what is stored, what is known already, and every input that is refused."""

import dataclasses
import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.metering.api import MOST_BYTES
from apps.metering.choices import Grade
from apps.metering.models import Batch
from apps.metering.services.batches import MOST_READINGS
from evidence.canonical import encode_bytes
from evidence.keys import SoftwareKey
from evidence.readings import Reading, Register
from market_math.slots import day_slots
from tests.metering.head_end import (
    DAY,
    STEP,
    URL,
    Change,
    HeadEnd,
    assert_refused,
    make_head_end,
    post,
    stored,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def head_end(db: None) -> HeadEnd:
    return make_head_end(points=2)


def test_a_signed_batch_is_stored(head_end: HeadEnd) -> None:
    response = post(head_end.body(sequence=7))
    assert (response.status_code, response.json()) == (200, {"sequence": "7", "status": "stored"})
    batch = Batch.objects.get()
    assert (batch.grade, batch.count, batch.day, batch.device) == (Grade.DEVICE_SIGNED, 96, DAY, head_end.device)
    assert stored() == (1, 96)
    head_end.device.refresh_from_db()
    assert head_end.device.last_contact is not None


def test_the_same_batch_again_changes_nothing(head_end: HeadEnd) -> None:
    body = head_end.body()
    post(body)
    before = Batch.objects.values().get()
    response = post(body)
    assert (response.status_code, response.json()) == (200, {"sequence": "1", "status": "known"})
    assert Batch.objects.values().get() == before
    assert stored() == (1, 96)


def test_the_longest_day_is_a_batch(head_end: HeadEnd) -> None:
    slots = day_slots(dt.date(2025, 10, 26), head_end.area.zone, 15)
    assert post(head_end.body(head_end.readings(slots))).status_code == 200
    assert stored() == (1, 100)


# Keys and signatures.


def test_a_wrong_signature(head_end: HeadEnd) -> None:
    other = encode_bytes(SoftwareKey.generate().sign(b"\x01" * 32))
    for signature in (other, encode_bytes(bytes(64)), encode_bytes(b"\xff" * 64), encode_bytes(b"short"), ""):
        body = head_end.changed(lambda body, signature=signature: body.update(signature=signature))  # type: ignore[misc]
        assert_refused(post(body), 403, "signature", "wrong_signature")
    assert stored() == (0, 0)


def test_a_statement_changed_after_it_was_signed(head_end: HeadEnd) -> None:
    body = head_end.changed(lambda body: body["statement"].update(sequence="2"))
    assert_refused(post(body), 403, "signature", "wrong_signature")
    assert stored() == (0, 0)


def test_an_unknown_key(head_end: HeadEnd) -> None:
    assert_refused(post(head_end.body(key=SoftwareKey.generate())), 403, "statement.key", "unknown_key")
    assert stored() == (0, 0)


def test_a_key_of_another_device(head_end: HeadEnd) -> None:
    other = HeadEnd(
        head_end.area,
        type(head_end.device).objects.create(area=head_end.area, owner=head_end.device.owner, name="other"),
        head_end.points,
    )
    assert_refused(post(head_end.body(key=other.key)), 403, "statement.key", "unknown_key")
    assert stored() == (0, 0)


def test_a_revoked_key(head_end: HeadEnd) -> None:
    head_end.device_key.revoked_at = timezone.now()
    head_end.device_key.save()
    assert_refused(post(head_end.body()), 403, "statement.key", "revoked_key")
    assert stored() == (0, 0)


# Sequence numbers.


def test_a_sequence_seen_before_with_other_content(head_end: HeadEnd) -> None:
    post(head_end.body())
    other = head_end.body(head_end.readings(value=200))
    assert_refused(post(other), 409, "statement.sequence", "sequence_reused")
    assert stored() == (1, 96)


def test_a_known_statement_with_other_readings(head_end: HeadEnd) -> None:
    post(head_end.body())
    changes: list[Change] = [
        lambda body: body["series"][0]["values"].__setitem__(3, 4711),
        lambda body: body["series"].pop(),
        lambda body: body["series"].append(body["series"][0]),
        lambda body: body["series"][0].update(point=encode_bytes(b"\x09" * 32)),
    ]
    for change in changes:
        assert_refused(post(head_end.changed(change)), 409, "statement.sequence", "sequence_reused")
    assert stored() == (1, 96)


def test_a_sequence_that_does_not_rise(head_end: HeadEnd) -> None:
    post(head_end.body(sequence=5))
    response = post(head_end.body(head_end.readings(value=200), sequence=4))
    assert_refused(response, 409, "statement.sequence", "sequence_not_rising")
    assert stored() == (1, 96)


# Readings.


def test_readings_that_are_not_those_of_the_root(head_end: HeadEnd) -> None:
    body = head_end.changed(lambda body: body["series"][0]["values"].__setitem__(3, 4711))
    assert_refused(post(body), 422, "statement.root", "wrong_root")
    assert stored() == (0, 0)


def test_a_slot_in_the_future(head_end: HeadEnd) -> None:
    now = int(timezone.now().timestamp())
    readings = head_end.readings([now - now % STEP])
    assert_refused(post(head_end.body(readings)), 422, "statement.end", "in_the_future")
    far = head_end.readings([2**62])
    assert_refused(post(head_end.body(far)), 422, "statement.end", "in_the_future")
    assert stored() == (0, 0)


def test_a_slot_off_the_grid(head_end: HeadEnd) -> None:
    first = day_slots(DAY, head_end.area.zone, 15).start
    readings = head_end.readings([first, first + STEP + 60])
    assert_refused(post(head_end.body(readings)), 422, "series[1].values[0]", "off_the_grid")
    assert stored() == (0, 0)


def with_value(head_end: HeadEnd, value: int, register: Register = Register.CONSUMPTION, point: int = 0) -> bytes:
    slots = list(day_slots(DAY, head_end.area.zone, 15))[:3]
    owner = bytes(head_end.points[point].ledger_id)
    return head_end.body([Reading(owner, register, slot, value if n == 1 else 0) for n, slot in enumerate(slots)])


@pytest.mark.parametrize("value", [-1, -(2**63), 25_000_001, 2**63 - 1])
def test_negative_or_absurd_consumption(head_end: HeadEnd, value: int) -> None:
    assert_refused(post(with_value(head_end, value)), 422, "series[0].values[1]", "implausible_energy")
    assert stored() == (0, 0)


def test_more_generation_than_the_plant_can_give(head_end: HeadEnd) -> None:
    body = with_value(head_end, 3_751, Register.GENERATION)
    assert_refused(post(body), 422, "series[0].values[1]", "implausible_energy")
    # A point without a plant generates nothing.
    body = with_value(head_end, 1, Register.GENERATION, point=1)
    assert_refused(post(body), 422, "series[0].values[1]", "implausible_energy")
    assert stored() == (0, 0)
    assert post(with_value(head_end, 3_750, Register.GENERATION)).status_code == 200


def test_a_point_of_another_device(head_end: HeadEnd) -> None:
    head_end.device.points.set(head_end.points[1:])
    assert_refused(post(head_end.body()), 422, "series[0].point", "other_point")
    assert stored() == (0, 0)


def test_a_day_on_which_nobody_lived_there(head_end: HeadEnd) -> None:
    slots = day_slots(dt.date(1975, 6, 1), head_end.area.zone, 15)
    assert_refused(post(head_end.body(head_end.readings(slots))), 422, "series", "no_occupant")
    assert stored() == (0, 0)


def test_more_than_a_local_day(head_end: HeadEnd) -> None:
    first = day_slots(DAY, head_end.area.zone, 15).start
    body = head_end.body(head_end.readings([first, first + 24 * 3600]))
    assert_refused(post(body), 422, "statement.end", "more_than_a_day")
    assert stored() == (0, 0)


def resigned(head_end: HeadEnd, **statement: int) -> bytes:
    """A batch whose signer himself claims something else."""
    from evidence.readings import Statement, Unit, batch_root

    readings = head_end.readings()
    true = Statement(
        bytes(head_end.device.ledger_id),
        head_end.key.public_key.id,
        1,
        readings[0].slot,
        readings[-1].slot + STEP,
        Unit.WH,
        len(readings),
        batch_root(readings, head_end.secrets),
    )
    numbers: dict[str, Any] = dict(statement)
    claimed = dataclasses.replace(true, **numbers)

    def change(body: dict[str, Any]) -> None:
        body["statement"] |= {name: str(value) for name, value in statement.items()}
        body["signature"] = encode_bytes(head_end.key.sign(claimed.digest))

    return head_end.changed(change)


@pytest.mark.parametrize(
    ("statement", "field", "rule"),
    [
        ({"unit": 0}, "statement.unit", "unknown_unit"),
        ({"unit": 3}, "statement.unit", "unknown_unit"),
        ({"unit": 2}, "series[0].register", "other_unit"),
        ({"count": 95}, "statement.count", "wrong_count"),
        ({"count": 0}, "statement.count", "wrong_count"),
        ({"start": 2**64 - 1}, "statement.end", "empty_window"),
        ({"end": 0}, "statement.end", "empty_window"),
        ({"start": 0, "end": 900}, "series[0].values[0]", "outside_window"),
    ],
)
def test_a_signed_statement_that_is_wrong(head_end: HeadEnd, statement: dict[str, int], field: str, rule: str) -> None:
    assert_refused(post(resigned(head_end, **statement)), 422, field, rule)
    assert stored() == (0, 0)


@pytest.mark.parametrize(
    ("member", "value", "rule"),
    [("register", 9, "unknown_register"), ("quality", 7, "unknown_quality")],
)
def test_an_unknown_register_or_quality(head_end: HeadEnd, member: str, value: int, rule: str) -> None:
    body = head_end.changed(lambda body: body["series"][0].update({member: value}))
    assert_refused(post(body), 422, f"series[0].{member}", rule)
    assert stored() == (0, 0)


def test_readings_out_of_order(head_end: HeadEnd) -> None:
    body = head_end.changed(
        lambda body: body.update(
            series=[{**body["series"][0], "values": [v], "start": body["series"][0]["start"] + n * STEP}
                    for n, v in reversed(list(enumerate(body["series"][0]["values"])))]
        )
    )  # fmt: skip
    assert_refused(post(body), 422, "series[1].values[0]", "not_ascending")
    assert stored() == (0, 0)


def test_many_violations_are_named_together(head_end: HeadEnd) -> None:
    first = day_slots(DAY, head_end.area.zone, 15).start
    point = bytes(head_end.points[0].ledger_id)
    body = head_end.body([Reading(point, 1, first, -1), Reading(point, 1, first + STEP, -2)])
    problem = post(body).json()
    assert [error["field"] for error in problem["errors"]] == ["series[0].values[0]", "series[0].values[1]"]


# The form of the body.


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nonsense", b"\xff\xfe", b"[]", b"null", b"true", b"1", b'"text"', b"{}", b"NaN", b"[NaN]", b"1.5",
        b"[" * 100_000, b'{"a":' * 100_000, b"[" * 400_000 + b"]" * 400_000, b"9" * 5_000,
    ],
)  # fmt: skip
def test_broken_json(head_end: HeadEnd, body: bytes) -> None:
    response = post(body)
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    (error,) = response.json()["errors"]
    assert error["rule"] in ("parse_error", "members")
    assert stored() == (0, 0)


def test_a_member_given_twice(head_end: HeadEnd) -> None:
    body = head_end.body()
    assert_refused(post(body[:-1] + b',"signature":"AA"}'), 400, "", "parse_error")
    assert stored() == (0, 0)


def test_a_huge_body(head_end: HeadEnd) -> None:
    body = head_end.body()
    assert_refused(post(body + b" " * MOST_BYTES), 413, "", "too_large")
    assert stored() == (0, 0)


def test_too_many_readings(head_end: HeadEnd) -> None:
    body = head_end.changed(lambda body: body["series"][0].update(values=[1] * (MOST_READINGS + 1)))
    assert_refused(post(body), 400, "series", "too_many")
    assert stored() == (0, 0)


def walk(body: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        body = body[int(name)] if isinstance(body, list) else body[name]
    return body


def remove(*path: str) -> Change:
    return lambda body: walk(body, path[:-1]).pop(path[-1])


def put(value: Any, *path: str) -> Change:
    return lambda body: walk(body, path[:-1]).update({path[-1]: value})


def values(change: Callable[[list[Any]], None]) -> Change:
    return lambda body: change(body["series"][0]["values"])


FORMS = [
    (remove("signature"), "", "members"),
    (remove("statement"), "", "members"),
    (remove("series"), "", "members"),
    (put("x", "surplus"), "", "members"),
    (put("x", "statement"), "statement", "members"),
    (put(None, "statement"), "statement", "members"),
    (put([], "statement"), "statement", "members"),
    (remove("statement", "root"), "statement", "members"),
    (put("x", "statement", "version"), "statement", "members"),
    (put(1, "statement", "sequence"), "statement.sequence", "format"),
    (put("01", "statement", "sequence"), "statement.sequence", "format"),
    (put("+1", "statement", "sequence"), "statement.sequence", "format"),
    (put("-0", "statement", "sequence"), "statement.sequence", "format"),
    (put(" 1", "statement", "sequence"), "statement.sequence", "format"),
    (put("1.0", "statement", "sequence"), "statement.sequence", "format"),
    (put("\u0661", "statement", "sequence"), "statement.sequence", "format"),
    (put("9" * 5000, "statement", "sequence"), "statement.sequence", "format"),
    (put(True, "statement", "sequence"), "statement.sequence", "format"),
    (put(None, "statement", "sequence"), "statement.sequence", "format"),
    (put("-1", "statement", "sequence"), "statement", "range"),
    (put(str(2**64), "statement", "end"), "statement", "range"),
    (put(str(2**32), "statement", "count"), "statement", "range"),
    (put("AA", "statement", "device"), "statement", "range"),
    (put("", "statement", "key"), "statement", "range"),
    (put("A", "statement", "root"), "statement.root", "format"),
    (put("AB", "statement", "root"), "statement.root", "format"),  # decodes as "AA" does
    (put("AA==", "statement", "root"), "statement.root", "format"),
    (put("A+/=", "statement", "root"), "statement.root", "format"),
    (put("AA\n", "statement", "root"), "statement.root", "format"),
    (put("ÄÄÄÄ", "statement", "root"), "statement.root", "format"),
    (put("\ud800", "statement", "root"), "statement.root", "format"),
    (put(7, "statement", "root"), "statement.root", "format"),
    (put(["AA"], "signature"), "signature", "format"),
    (put("no*base64", "signature"), "signature", "format"),
    (put({}, "series"), "series", "format"),
    (put("x", "series"), "series", "format"),
    (put(None, "series"), "series", "format"),
    (put([1], "series"), "series[0]", "members"),
    (put([[]], "series"), "series[0]", "members"),
    (remove("series", "0", "quality"), "series[0]", "members"),
    (put(1, "series", "0", "unit"), "series[0]", "members"),
    (put("AA", "series", "0", "point"), "series[0].values[0]", "range"),
    (put(1, "series", "0", "point"), "series[0].point", "format"),
    (put("1", "series", "0", "register"), "series[0].register", "format"),
    (put(True, "series", "0", "register"), "series[0].register", "format"),
    (put(None, "series", "0", "start"), "series[0].start", "format"),
    (put(-900, "series", "0", "start"), "series[0].values[0]", "range"),
    (put(10**30, "series", "0", "start"), "series[0].values[0]", "range"),
    (put(0, "series", "0", "step"), "series[0].step", "range"),
    (put(-900, "series", "0", "step"), "series[0].step", "range"),
    (put(10**30, "series", "0", "step"), "series[0].values[1]", "range"),
    (put(300, "series", "0", "quality"), "series[0].values[0]", "range"),
    (put({}, "series", "0", "values"), "series[0].values", "format"),
    (values(lambda v: v.append("1")), "series[0].values", "format"),
    (values(lambda v: v.append(None)), "series[0].values", "format"),
    (values(lambda v: v.append(False)), "series[0].values", "format"),
    (values(lambda v: v.append([1])), "series[0].values", "format"),
    (values(lambda v: v.__setitem__(5, 2**63)), "series[0].values[5]", "range"),
]


@pytest.mark.parametrize(("change", "field", "rule"), FORMS, ids=[f"{n}-{f}-{r}" for n, (_, f, r) in enumerate(FORMS)])
def test_a_body_of_another_form(head_end: HeadEnd, change: Change, field: str, rule: str) -> None:
    assert_refused(post(head_end.changed(change)), 400, field, rule)
    assert stored() == (0, 0)


def test_a_fraction_of_a_watt_hour(head_end: HeadEnd) -> None:
    body = head_end.changed(values(lambda v: v.__setitem__(0, 1.5)))
    assert_refused(post(body), 400, "", "parse_error")
    assert stored() == (0, 0)


def test_an_empty_batch(head_end: HeadEnd) -> None:
    assert_refused(post(head_end.changed(put([], "series"))), 422, "statement.count", "wrong_count")
    assert stored() == (0, 0)


def test_another_content_type(head_end: HeadEnd) -> None:
    response = post(head_end.body(), content_type="text/plain")
    assert (response.status_code, response["Content-Type"]) == (415, "application/problem+json")
    assert stored() == (0, 0)


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch"])
def test_another_method(head_end: HeadEnd, method: str) -> None:
    response = getattr(Client(), method)(URL)
    assert (response.status_code, response["Content-Type"]) == (405, "application/problem+json")


def test_a_page_elsewhere_cannot_be_asked_for_html(head_end: HeadEnd) -> None:
    response = Client().post(URL, head_end.body(), content_type="application/json", headers={"accept": "text/html"})
    assert response.status_code == 406
    assert stored() == (0, 0)


# Queries.


def test_many_readings_take_no_more_queries_than_few() -> None:
    head_end = make_head_end(points=10)
    few, many = head_end.readings(points=1), head_end.readings(points=10)
    assert (len(few), len(many)) == (96, 960)
    # The month's partition exists from here on.
    assert post(head_end.body(few, sequence=1)).status_code == 200
    counts = []
    for sequence, readings in ((2, few), (3, many)):
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert post(head_end.body(readings, sequence=sequence)).status_code == 200
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 21
    assert stored() == (3, 96 + 96 + 960)


def test_a_later_batch_brings_the_next_version(head_end: HeadEnd) -> None:
    for sequence in (1, 2, 3):
        post(head_end.body(head_end.readings(value=100 * sequence), sequence=sequence))
    with connection.cursor() as cursor:
        cursor.execute("SELECT version, min(value), count(*) FROM metering_reading GROUP BY version ORDER BY version")
        assert cursor.fetchall() == [(0, 100, 96), (1, 200, 96), (2, 300, 96)]


def test_the_answer_is_json_that_agents_read(head_end: HeadEnd) -> None:
    response = post(head_end.body())
    assert json.loads(response.content)["status"] == "stored"
    assert response["Content-Type"] == "application/json"


def test_the_schema_describes_what_is_posted_and_answered() -> None:
    response = Client().get("/api/schema", headers={"accept": "application/vnd.oai.openapi+json"})
    assert response.status_code == 200
    operation = response.json()["paths"][URL]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {"statement", "signature", "series"}
    assert set(operation["responses"]) == {"200", "400", "403", "409", "413", "415", "422"}
    assert list(operation["responses"]["422"]["content"]) == ["application/problem+json"]

"""Staff tell devices what to do, in the administration and over the API; nobody else does."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.choices import MemberRole, PartyKind, PartyRole
from apps.accounts.models import Party, User
from apps.metering.choices import InstructionState
from apps.metering.models import Instruction
from evidence.boxes import AnswerState
from evidence.canonical import encode_bytes
from tests.factories import MembershipFactory, UserFactory
from tests.metering.channel import Box, make_channel, utility_key
from tests.metering.head_end import HeadEnd, assert_refused

URL = "/api/v1/instructions"
pytestmark = pytest.mark.django_db


@pytest.fixture
def head_end(db: None) -> HeadEnd:
    return make_channel()


def staff_of(party: Party, email: str = "clerk@example.org", role: MemberRole = MemberRole.STAFF) -> Client:
    user = UserFactory.make(email=email, is_staff=True)
    MembershipFactory.make(user=user, party=party, role=role)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def clerk(head_end: HeadEnd) -> Client:
    return staff_of(head_end.area.utility)


def strangers(head_end: HeadEnd) -> list[Client]:
    other = Party.objects.create(name="Other", kind=PartyKind.ORGANISATION, role=PartyRole.UTILITY, ledger="other")
    return [
        staff_of(other, "other@example.org"),
        staff_of(head_end.area.utility, "auditor@example.org", MemberRole.AUDITOR),
        staff_of(head_end.device.owner, "alice@example.org", MemberRole.MEMBER),
    ]


def sent(head_end: HeadEnd, **change: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "device": encode_bytes(bytes(head_end.device.ledger_id)),
        "kind": "OUTPUT",
        "body": {"output": "boiler", "on": True, "seconds": 60},
        "seconds": "3600",
    }
    return {name: value for name, value in (body | change).items() if value is not None}


def post(client: Client, body: Any) -> Any:
    return client.post(URL, json.dumps(body), content_type="application/json")


# Over the API.


def test_staff_give_an_instruction_and_see_its_fate(head_end: HeadEnd, clerk: Client) -> None:
    answer = post(clerk, sent(head_end))
    assert answer.status_code == 201, answer.content
    given = Instruction.objects.get()
    expected = {
        "device": encode_bytes(bytes(head_end.device.ledger_id)),
        "sequence": "1",
        "kind": "OUTPUT",
        "until": str(given.until),
        "state": "PENDING",
    }
    assert answer.json() == expected
    assert (given.until - given.since, bytes(given.body)) == (3600, b'{"on":true,"output":"boiler","seconds":60}')
    assert given.given_by == User.objects.get(email="clerk@example.org")
    assert utility_key(head_end).public_key.verifies(given.said.digest, bytes(given.signature))
    box = Box.of(head_end)
    box.post(box.answer(given, AnswerState.REFUSED, b'{"code":"limit"}'))
    (fate,) = clerk.get(URL, {"device": expected["device"]}).json()["instructions"]
    assert (fate["state"], fate["answer"]) == ("REFUSED", '{"code":"limit"}')
    assert set(fate) == {*expected, "answer", "answered_at", "received_at"}
    Instruction.objects.update(state=InstructionState.PENDING, since=1, until=2)
    (fate,) = clerk.get(URL, {"device": expected["device"]}).json()["instructions"]
    assert fate["state"] == "EXPIRED"


def test_strangers_neither_give_nor_see_instructions(head_end: HeadEnd, clerk: Client) -> None:
    device = encode_bytes(bytes(head_end.device.ledger_id))
    for client in strangers(head_end):
        assert post(client, sent(head_end)).status_code == 403
        assert client.get(URL, {"device": device}).status_code == 403
    assert post(Client(), sent(head_end)).status_code == 403
    assert Client().get(URL, {"device": device}).status_code == 403
    # A device that nobody has is no other answer.
    assert post(clerk, sent(head_end, device=encode_bytes(b"\x01" * 32))).status_code == 403
    assert Instruction.objects.count() == 0


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"device": "!"}, "device", "format"),
        ({"device": None}, "", "members"),
        ({"more": 1}, "", "members"),
        ({"kind": "EXPLODE"}, "kind", "unknown_kind"),
        ({"kind": 3}, "kind", "unknown_kind"),
        ({"body": []}, "body", "format"),
        ({"seconds": 60}, "seconds", "format"),
        ({"seconds": "0"}, "seconds", "range"),
        ({"seconds": "7776001"}, "seconds", "range"),
    ],
)
def test_what_is_no_instruction(
    head_end: HeadEnd, clerk: Client, change: dict[str, Any], field: str, rule: str
) -> None:
    assert_refused(post(clerk, sent(head_end, **change)), 400, field, rule)
    assert Instruction.objects.count() == 0


# In the administration.


ADD = "admin:metering_instruction_add"


def form(head_end: HeadEnd, **change: Any) -> dict[str, Any]:
    return {"device": head_end.device.pk, "kind": 5, "content": '{"why": "cable"}', "hours": 2} | change


def test_staff_give_an_instruction_in_the_administration(head_end: HeadEnd, clerk: Client) -> None:
    assert clerk.get(reverse(ADD)).status_code == 200
    answer = clerk.post(reverse(ADD), form(head_end))
    assert answer.status_code == 302, answer.content
    given = Instruction.objects.get()
    assert (given.kind, bytes(given.body), given.sequence) == (5, b'{"why":"cable"}', 1)
    assert given.given_by == User.objects.get(email="clerk@example.org")
    assert 7195 <= given.until - given.since <= 7200
    page = clerk.get(reverse("admin:metering_instruction_change", args=[given.pk]))
    assert b"&quot;why&quot;: &quot;cable&quot;" in page.content
    assert b'name="_save"' not in page.content
    assert b"box" in clerk.get(reverse("admin:metering_instruction_changelist")).content


def test_a_form_that_is_wrong_gives_nothing(head_end: HeadEnd, clerk: Client) -> None:
    for change in ({"content": "[1]"}, {"content": "{"}, {"hours": 0}, {"kind": 99}, {"device": ""}):
        assert clerk.post(reverse(ADD), form(head_end, **change)).status_code == 200
    assert Instruction.objects.count() == 0


def test_strangers_give_nothing_in_the_administration(head_end: HeadEnd, clerk: Client) -> None:
    clerk.post(reverse(ADD), form(head_end))
    given = Instruction.objects.get()
    for client in strangers(head_end):
        client.post(reverse(ADD), form(head_end))
        page = client.get(reverse("admin:metering_instruction_change", args=[given.pk]))
        assert page.status_code in (302, 403)
    assert Instruction.objects.count() == 1

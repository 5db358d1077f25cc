"""The ledger over REST: who may send and read what, and that nothing is done twice."""

import re
from collections.abc import Callable, Iterator
from copy import copy
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

from apps.accounts.choices import MemberRole
from apps.accounts.models import Party
from apps.accounts.services.parties import signer_of
from apps.ledger.catalogue import KIND_OF, SIGNED_BY, TABLES, command_members, needs_operator, read_command, signed_by
from apps.ledger.consumers import consumers
from apps.ledger.intake import intake_of, register_intake, register_refusal, take_alone
from apps.ledger.ledgers import DEFAULT, get_ledger
from apps.ledger.models import Command, Event
from apps.ledger.services.sweep import drain
from apps.ledger.typed_data import typed_data
from apps.metering.models import Anchor, Device
from apps.metering.services.devices import register_device
from apps.portal.ledger_api.views import HeavyReads
from evidence import commands, merkle
from evidence.abi import Integer, ListOf, layout
from evidence.canonical import decode_bytes, encode_bytes
from evidence.checkpoint import open_note, origin
from evidence.commands import Fields
from evidence.commands.kinds import (
    KINDS,
    ChangeParticipantState,
    OpenAuction,
    PlaceOrder,
    PublishOffer,
    RecordInvoice,
    ReportDailyEnergy,
)
from evidence.eip712 import Domain
from evidence.hashing import ZERO
from evidence.journal import Entry, envelope_digest
from evidence.keys import Signer, SoftwareKey
from ledger_adapters.contract import records
from ledger_adapters.contract.core import RULES
from ledger_adapters.contract.kind import Kind
from ledger_adapters.contract.records import Record
from ledger_adapters.embedded.adapter import EmbeddedLedger
from ledger_adapters.embedded.store import MemoryStore
from ledger_adapters.exceptions import Transient
from market_math.slots import day_number
from tests.factories import MembershipFactory
from tests.portal.world import FIRST, PEOPLE, World

API = "/api/v1/ledger"
DEVICE_KEY = SoftwareKey.generate()


@pytest.fixture(autouse=True)
def same_ledger(world: World) -> Iterator[None]:
    """What a test puts on the ledger is taken back, as its rows are."""
    found = embedded()._store
    assert isinstance(found, MemoryStore)
    kept = {name: copy(value) for name, value in vars(found).items() if name != "_lock"}
    yield
    vars(found).update(kept)


def embedded() -> EmbeddedLedger:
    found = get_ledger(DEFAULT)
    assert isinstance(found, EmbeddedLedger)
    return found


@pytest.fixture
def device(world: World) -> Device:
    """Alice's, on the ledger."""
    made = register_device(
        area=world.market.area,
        owner=world.alice_point.party,
        name="Meter",
        key=DEVICE_KEY.public_key,
        points=[world.alice_point],
    )
    drain(DEFAULT)
    return made


def signed(fields: Fields, *signers: Signer, nonce: int = 1, **options: Any) -> commands.Command:
    genesis = embedded().genesis()
    command = commands.Command(genesis.market, nonce.to_bytes(32, "big"), fields, **options)
    return command.signed_by(genesis.ledger, *signers)


def send(client: Client, command: commands.Command) -> Any:
    body = {"envelope": encode_bytes(command.envelope.encode())}
    return client.post(f"{API}/commands", body, content_type="application/json")


def by_everybody(world: World, ask: Callable[[Client], Any]) -> dict[str, int]:
    return {person: ask(world.client(person)).status_code for person in PEOPLE}


def everybody(*statuses: int) -> dict[str, int]:
    """guest, alice, bob, outsider, clerk, auditor"""
    return dict(zip(PEOPLE, statuses, strict=True))


def report(device: Device) -> ReportDailyEnergy:
    return ReportDailyEnergy(bytes(device.ledger_id), day_number(FIRST), 1, 2, 3, bytes(32))


def suspend(party: Party) -> ChangeParticipantState:
    return ChangeParticipantState(bytes(party.ledger_id), 2)


def publish(world: World) -> PublishOffer:
    party = world.declaration.seller
    until = int(timezone.now().timestamp()) + 3_600
    return PublishOffer(b"\x05" * 32, bytes(world.declaration.ledger_id), bytes(party.ledger_id), 10, 1, until)


# Sending


def test_who_sends_what_a_device_signed(world: World, device: Device) -> None:
    command = signed(report(device), DEVICE_KEY)
    assert by_everybody(world, lambda client: send(client, command)) == everybody(403, 202, 403, 403, 403, 403)


def test_who_sends_what_the_operator_signs(world: World) -> None:
    command = signed(suspend(world.bob_point.party))
    assert by_everybody(world, lambda client: send(client, command)) == everybody(403, 403, 403, 403, 202, 403)


def test_staff_of_another_utility_get_nothing_of_this_ledger(world: World) -> None:
    MembershipFactory.make(user=world.users["outsider"], party=world.elsewhere.party.utility, role=MemberRole.STAFF)
    client = world.client("outsider")
    assert send(client, signed(suspend(world.bob_point.party))).status_code == 403
    assert client.get(f"{API}/events").status_code == 403
    assert client.get(state_url("participant", (world.alice_point.party.ledger_id,))).status_code == 404


def test_nobody_sends_for_somebody_else_or_for_nobody(world: World) -> None:
    """Who may not send does not learn whether there is such a participant, nor whether the kind is taken."""
    theirs = signed(publish(world), signer_of(world.declaration.seller))
    nobodys = signed(PublishOffer(b"\x05" * 32, b"\x06" * 32, b"\x07" * 32, 1, 1, 1), SoftwareKey.generate())
    answers = [send(world.client("bob"), command) for command in (theirs, nobodys)]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].content == answers[1].content
    assert send(world.client("alice"), theirs).status_code == 202


def test_what_is_sent_reaches_the_ledger_and_is_answered(world: World, device: Device) -> None:
    client = world.client("alice")
    command = signed(report(device), DEVICE_KEY)
    answer = send(client, command)
    name = encode_bytes(command.id)
    assert answer.json() == {"id": name, "outcome": f"http://testserver{API}/commands/{name}"}
    assert answer["Location"] == answer.json()["outcome"]
    told = client.get(answer["Location"]).json()
    assert told == {"id": name, "kind": "ReportDailyEnergy", "ledger": DEFAULT, "state": "queued"}
    drain(DEFAULT)
    told = client.get(answer["Location"]).json()
    assert (told["state"], told["code"], told["rule"]) == ("confirmed", "0", "APPLIED")
    assert told["entry"] == str(embedded().health().size - 1)
    state = client.get(f"{API}/state/daily-energy/{encode_bytes(bytes(device.ledger_id))}/{day_number(FIRST)}").json()
    assert state["record"]["generated"] == "1"


def test_the_same_command_sent_again_gets_the_first_answer(world: World, device: Device) -> None:
    client = world.client("alice")
    first = send(client, signed(report(device), DEVICE_KEY))
    again = send(client, signed(report(device), DEVICE_KEY))
    assert (again.status_code, again.content) == (202, first.content)
    drain(DEFAULT)
    # Signatures are no part of a command's identity, nor does its outcome change the answer.
    later = send(client, signed(report(device), SoftwareKey.generate()))
    assert (later.status_code, later.content) == (202, first.content)
    assert Command.objects.filter(kind=ReportDailyEnergy.KIND).count() == 1


def test_a_command_that_was_rejected_stays_rejected(world: World, device: Device) -> None:
    """Another relay was faster with another report about the same day."""
    client = world.client("alice")
    late, faster = (signed(report(device), DEVICE_KEY, nonce=nonce) for nonce in (1, 2))
    first = send(client, late)
    embedded().submit(embedded().prepare([faster.envelope.encode()]))
    drain(DEFAULT)
    again = send(client, late)
    assert (again.status_code, again.content) == (202, first.content)
    drain(DEFAULT)
    told = client.get(again["Location"]).json()
    assert (told["state"], told["rule"]) == ("rejected", "ALREADY_REPORTED")


def test_what_the_contract_would_refuse_is_named(world: World, device: Device) -> None:
    client = world.client("alice")
    answer = send(client, signed(report(device), SoftwareKey.generate()))
    assert (answer.status_code, answer["Content-Type"]) == (422, "application/problem+json")
    body = answer.json()
    assert body["errors"] == [{"field": "", "rule": "WRONG_SIGNER", "message": "Another key is registered for you."}]
    assert not Command.objects.filter(kind=ReportDailyEnergy.KIND).exists()


def test_what_only_this_installation_can_make_is_not_taken(world: World) -> None:
    """Otherwise the ledger would change, and nothing here."""
    invoice = RecordInvoice(bytes(world.market.utility.ledger_id), b"\x02" * 32, 1, b"\x03" * 32, bytes(32))
    before = Command.objects.count()
    answer = send(world.client("clerk"), signed(invoice))
    assert (answer.status_code, answer.json()["errors"]) == (
        422,
        [
            {
                "field": "kind",
                "rule": "not_taken",
                "message": "Invoices are written and numbered here, without gaps.",
            }
        ],
    )
    assert Command.objects.count() == before


NOT_TAKEN = {
    "RegisterParticipant": "The utility registers it here",
    "RegisterPlant": "The utility registers it here",
    "TransferPlant": "a plant cannot change hands here yet",
    "RegisterDevice": "The utility registers it here",
    "AnchorReadings": "Anchors are made here",
    "DeclareSurplus": "Surplus is computed here",
    "OpenAuction": "No part of this installation deals with",
    "PlaceOrder": "No part of this installation deals with",
    "ClearAuction": "No part of this installation deals with",
    "RecordSettlement": "A settlement is computed here",
    "RecordInvoice": "Invoices are written and numbered here",
    "OpenImport": "by a command of its operators",
    "SealImport": "by a command of its operators",
    "CloseLedger": "by a command of its operators",
}


def test_why_a_kind_is_not_taken_is_documented(world: World) -> None:
    kinds = world.client("alice").get(f"{API}/kinds").json()["kinds"]
    assert {kind["name"] for kind in kinds if not kind["taken"]} == set(NOT_TAKEN)
    for kind in kinds:
        assert NOT_TAKEN.get(kind["name"], "") in kind.get("reason", "")
        assert ("reason" in kind) is not kind["taken"]
    text = (Path(settings.BASE_DIR) / "docs" / "operating-a-ledger.md").read_text()
    assert [name for name in KIND_OF if f"`{name}`" not in text] == []


def test_kinds_that_consumers_know_are_never_taken_alone() -> None:
    known = {kind for consumer in consumers() for kind in consumer.confirmed}
    assert {kind for kind in known if intake_of(kind) is take_alone} == set()
    assert {kind.__name__ for kind in KINDS.values() if intake_of(kind) is take_alone} == {
        "ChangeParticipantState",
        "ChangePlantState",
        "ChangeDeviceState",
    }


def test_a_kind_is_taken_by_one_app() -> None:
    for kind in (ReportDailyEnergy, RecordInvoice):
        with pytest.raises(ValueError, match="taken already"):
            register_intake(kind, take_alone)
        with pytest.raises(ValueError, match="taken already"):
            register_refusal(kind, "twice")


def test_a_command_as_json_is_the_same_command(world: World, device: Device) -> None:
    command = signed(report(device), DEVICE_KEY)
    client = world.client("alice")
    answer = client.post(f"{API}/commands", command_members(command), content_type="application/json")
    assert (answer.status_code, answer.json()["id"]) == (202, encode_bytes(command.id))
    stored = Command.objects.get(command_id=command.id)
    assert bytes(stored.envelope) == command.envelope.encode()


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda body: {key: value for key, value in body.items() if key != name}


def having(**members: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda body: {**body, **members}


BAD = [
    (lambda body: [], ""),
    (lambda body: {}, ""),
    (lambda body: {"envelope": 7}, "envelope"),
    (lambda body: {"envelope": "AAAA"}, "envelope"),
    (lambda body: {"envelope": "=" * 8}, "envelope"),
    (without("nonce"), "nonce"),
    (without("kind"), ""),
    (having(kind="Nothing"), "kind"),
    (having(kind=["PublishOffer"]), "kind"),
    (having(more="1"), ""),
    (having(fields={}), "fields"),
    (lambda body: {**body, "fields": {**body["fields"], "day": 3}}, "fields.day"),
    (lambda body: {**body, "fields": {**body["fields"], "day": "4294967296"}}, "fields.day"),
    (lambda body: {**body, "fields": {**body["fields"], "device": "AAAA"}}, "fields.device"),
    (having(nonce="AAAA"), "nonce"),
    (having(after=None), "after"),
    (having(valid_until="-1"), "valid_until"),
    (having(valid_until=str(2**64)), "valid_until"),
    (having(signatures={}), "signatures"),
    (having(signatures=[{"key": "AAAA"}]), "signatures.0"),
    (having(signatures=[{"key": encode_bytes(bytes(32)), "signature": "AAAA"}]), "signatures.0.signature"),
    (having(signatures=[{"key": encode_bytes(bytes(32)), "signature": encode_bytes(bytes(64))}] * 5), ""),
]


@pytest.mark.parametrize(("change", "field"), BAD)
def test_bad_input_is_named(world: World, device: Device, change: Callable[[dict[str, Any]], Any], field: str) -> None:
    body = change(command_members(signed(report(device), DEVICE_KEY)))
    answer = world.client("alice").post(f"{API}/commands", body, content_type="application/json")
    assert answer.status_code == 400, answer.content
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_ledger_that_is_not_there(world: World, device: Device) -> None:
    command = signed(report(device), DEVICE_KEY)
    body = {"envelope": encode_bytes(command.envelope.encode())}
    answer = world.client("alice").post(f"{API}/commands?ledger=none", body, content_type="application/json")
    assert answer.status_code == 404


# Outcomes


def test_who_asks_what_became_of_a_command(world: World, device: Device) -> None:
    bought = f"{API}/commands/{encode_bytes(bytes(world.purchase.command_id or b''))}"
    assert by_everybody(world, lambda client: client.get(bought)) == everybody(403, 200, 200, 404, 200, 200)
    command = signed(report(device), DEVICE_KEY)
    send(world.client("alice"), command)
    reported = f"{API}/commands/{encode_bytes(command.id)}"
    assert by_everybody(world, lambda client: client.get(reported)) == everybody(403, 200, 404, 404, 200, 200)


@pytest.mark.parametrize("name", ["A", "A" * 43, "A" * 500, "é" * 43, "A" * 42 + "B"])
def test_an_id_of_nothing(world: World, name: str) -> None:
    client = world.client("clerk")
    for path in ("commands", "proof", "state/offer"):
        assert client.get(f"{API}/{path}/{name}").status_code == 404


def test_a_rejection_comes_with_its_rule_and_reason(world: World) -> None:
    command = Command.objects.get(command_id=world.purchase.command_id)
    Command.objects.filter(pk=command.pk).update(state="rejected", code=54)
    told = world.client("bob").get(f"{API}/commands/{encode_bytes(bytes(command.command_id))}").json()
    assert (told["state"], told["rule"], told["reason"]) == (
        "rejected",
        "OFFER_OVER",
        "The offer has run out of time.",
    )


# State


def auction(world: World) -> bytes:
    """An open auction of the area, with an order of alice's."""
    name, now = b"\x0a" * 32, int(timezone.now().timestamp())
    area, party = world.market.area, world.alice_point.party
    opened = OpenAuction(name, bytes(area.ledger_id), 1, now, now + 1, now + 100, now + 200, bytes(32))
    placed = PlaceOrder(b"\x0b" * 32, name, bytes(party.ledger_id), bytes(32))
    envelopes = [signed(opened).envelope.encode(), signed(placed, signer_of(party)).envelope.encode()]
    embedded().submit(embedded().prepare(envelopes))
    return name


Address = Callable[[World, Device], tuple[Any, ...]]
STATE: dict[str, tuple[Address, tuple[int, int, int, int, int, int]]] = {
    "participant": (lambda w, d: (w.alice_point.party.ledger_id,), (403, 200, 404, 404, 200, 200)),
    "plant": (lambda w, d: (w.market.plants["alice"].ledger_id,), (403, 200, 404, 404, 200, 200)),
    "device": (lambda w, d: (d.ledger_id,), (403, 200, 404, 404, 200, 200)),
    "used-key": (lambda w, d: (d.ledger_id, DEVICE_KEY.public_key.id), (403, 200, 404, 404, 200, 200)),
    "daily-energy": (lambda w, d: (d.ledger_id, day_number(FIRST)), (403, 200, 404, 404, 200, 200)),
    "anchor": (
        lambda w, d: (w.market.area.ledger_id, day_number(FIRST), Anchor.objects.filter(day=FIRST)[0].root),
        (403, 200, 200, 404, 200, 200),
    ),
    "declaration": (lambda w, d: (w.declaration.ledger_id,), (403, 200, 200, 404, 200, 200)),
    "offer": (lambda w, d: (w.offer.ledger_id,), (403, 200, 200, 404, 200, 200)),
    "auction": (lambda w, d: (auction(w),), (403, 200, 200, 404, 200, 200)),
    "order": (lambda w, d: (auction(w) and b"\x0b" * 32,), (403, 200, 404, 404, 200, 200)),
    "purchase": (lambda w, d: (w.purchase.ledger_id,), (403, 200, 200, 404, 200, 200)),
    "settlement": (lambda w, d: (w.market.area.ledger_id, day_number(FIRST)), (403, 200, 200, 404, 200, 200)),
    "invoice": (
        lambda w, d: (w.market.utility.ledger_id, w.invoice.series.ledger_id, w.invoice.number),
        (403, 404, 200, 404, 200, 200),
    ),
    "applied-id": (lambda w, d: (w.purchase.command_id,), (403, 404, 404, 404, 200, 200)),
    "old-ledger": (lambda w, d: old_ledger(), (403, 404, 404, 404, 200, 200)),
    "genesis": (lambda w, d: (), (403, 404, 404, 404, 200, 200)),
    "import": (lambda w, d: old_ledger()[:0], (403, 404, 404, 404, 200, 200)),
    "closing": (lambda w, d: old_ledger()[:0], (403, 404, 404, 404, 200, 200)),
    "domain": (lambda w, d: (3, w.alice_point.party.ledger_id), (403, 404, 404, 404, 200, 200)),
}


def old_ledger() -> tuple[Any, ...]:
    """Its id; it and the records beside it are written as they stand on ledgers between which a market has moved."""
    ledger = b"\x0c" * 32
    for record, ids in (
        (records.OldLedger(ZERO, ZERO), (ledger,)),
        (records.Import(ledger, 1, ZERO, 1, ZERO), ()),
        (records.Closing(ledger, 1), ()),
    ):
        embedded()._store.write_state({record.key(*ids): record.encode()})  # type: ignore[attr-defined]
    return (ledger,)


def state_url(table: str, ids: tuple[Any, ...]) -> str:
    parts = [str(part) if isinstance(part, int) else encode_bytes(bytes(part)) for part in ids]
    return "/".join([f"{API}/state/{table}", *parts])


@pytest.mark.parametrize("table", STATE)
def test_who_reads_a_record(world: World, device: Device, table: str) -> None:
    address, statuses = STATE[table]
    send(world.client("alice"), signed(report(device), DEVICE_KEY))
    drain(DEFAULT)
    url = state_url(table, address(world, device))
    assert by_everybody(world, lambda client: client.get(url)) == everybody(*statuses)


def test_every_table_has_its_readers_tested() -> None:
    assert set(STATE) == set(TABLES)
    names = {record.__name__ for record in Record.__subclasses__()}
    assert {table.record.__name__ for table in TABLES.values()} == names
    assert len({table.record.TABLE for table in TABLES.values()}) == len(names)


def test_a_record_is_shown_as_it_is_on_the_ledger(world: World) -> None:
    offer = world.offer
    key = records.Offer.key(bytes(offer.ledger_id))
    body = world.client("bob").get(state_url("offer", (offer.ledger_id,))).json()
    value = embedded().read([key])[key]
    assert (body["table"], decode_bytes(body["key"]), decode_bytes(body["value"])) == ("offer", key, value)
    assert body["record"] == {
        "declaration": encode_bytes(bytes(offer.declaration.ledger_id)),
        "energy": "3000",
        "price": "182500",
        "committed": "0",
        "open_until": str(int(offer.open_until.timestamp())),
        "state": "1",
    }


@pytest.mark.parametrize(
    ("path", "status"),
    [("offer/7", 400), ("anchor/7", 400), ("domain/7", 400), ("settlement/7/7", 400), ("offer", 400), ("none/7", 404)],
)
def test_ids_that_are_not_those_of_the_table(world: World, path: str, status: int) -> None:
    assert world.client("clerk").get(f"{API}/state/{path}").status_code == status


def test_somebody_elses_records_cost_no_more_than_ones_own(world: World) -> None:
    url = state_url("offer", (world.offer.ledger_id,))
    counts = {person: queries(world.client(person), url) for person in ("bob", "outsider", "clerk")}
    assert max(counts.values()) <= 15, counts


def queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        client.get(url)
    return len(captured)


# Events


def test_who_hears_the_events(world: World) -> None:
    heard = by_everybody(world, lambda client: client.get(f"{API}/events"))
    assert heard == everybody(403, 403, 403, 403, 200, 200)


def test_events_come_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.portal.ledger_api.views.PAGE", 7)
    client, url, found = world.client("auditor"), f"{API}/events", []
    while url:
        page = client.get(url).json()
        found += page["events"]
        assert len(page["events"]) <= 7
        url = page.get("next")
    on_ledger = embedded().events(0, 10_000).events
    assert [int(event["position"]) for event in found] == [event.position for event in on_ledger]
    assert [decode_bytes(event["envelope"]) for event in found] == [event.outcome.envelope for event in on_ledger]
    assert found[0]["kind"] == "RegisterParticipant"
    assert found[0]["command"]["fields"]["role"] in ("1", "3")


def test_what_is_new_is_asked_for_by_the_last_position(world: World) -> None:
    client = world.client("clerk")
    last = embedded().health().size - 1
    assert [event["position"] for event in client.get(f"{API}/events?after={last - 1}").json()["events"]] == [str(last)]
    assert client.get(f"{API}/events?after={last}").json() == {"events": []}
    for bad in ("x", "-2", str(1 << 63)):
        assert client.get(f"{API}/events?after={bad}").status_code == 400


def test_bytes_that_are_no_command_are_heard_as_they_are(world: World) -> None:
    embedded().submit(embedded().prepare([b"no command"]))
    drain(DEFAULT)
    last = world.client("clerk").get(f"{API}/events?after={embedded().health().size - 2}").json()["events"][0]
    assert (last["kind"], last["rule"], decode_bytes(last["envelope"])) == ("0", "BAD_ENCODING", b"no command")
    assert "command" not in last


def test_more_events_cost_no_more_queries(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client = world.client("clerk")
    last = Event.objects.count()
    few, many = queries(client, f"{API}/events?after={last - 3}"), queries(client, f"{API}/events")
    assert few == many <= 12


# Proof


def test_who_takes_a_proof(world: World) -> None:
    url = f"{API}/proof/{encode_bytes(bytes(world.purchase.command_id or b''))}"
    assert by_everybody(world, lambda client: client.get(url)) == everybody(403, 200, 200, 404, 200, 200)
    assert queries(world.client("bob"), url) <= 16


def test_a_proof_leads_to_the_signed_checkpoint(world: World) -> None:
    command_id = bytes(world.purchase.command_id or b"")
    proof = world.client("bob").get(f"{API}/proof/{encode_bytes(command_id)}").json()
    assert proof["kind"] == "embedded"
    ((command,), genesis) = proof["commands"], embedded().genesis()
    envelope = decode_bytes(command["envelope"])
    assert commands.Command.from_bytes(envelope).id == command_id
    entry = Entry(int(command["index"]), int(command["time"]), 0, command_id, envelope_digest(envelope))
    hashes = tuple(decode_bytes(found) for found in proof["path"]["hashes"])
    path = merkle.Path(int(proof["path"]["size"]), hashes)
    checkpoint = open_note(proof["checkpoint"], origin(genesis.ledger), embedded().checkpoint_public_key)
    assert checkpoint.root == merkle.root_from_path([(entry.index, entry.leaf_hash)], path)
    assert checkpoint.size == path.size


def test_there_is_no_proof_of_what_was_not_applied(world: World, device: Device) -> None:
    client = world.client("alice")
    command = signed(report(device), DEVICE_KEY)
    send(client, command)
    answer = client.get(f"{API}/proof/{encode_bytes(command.id)}")
    assert (answer.status_code, answer.json()["errors"][0]["rule"]) == (409, "not_applied")


# Kinds and typed data


def test_kinds_are_listed_with_who_signs_them(world: World) -> None:
    assert by_everybody(world, lambda client: client.get(f"{API}/kinds")) == everybody(403, 200, 200, 200, 200, 200)
    body = world.client("alice").get(f"{API}/kinds").json()
    assert [kind["name"] for kind in body["kinds"]] == list(KIND_OF)
    commit = next(kind for kind in body["kinds"] if kind["name"] == "CommitPurchase")
    assert commit["fields"][0] == {"name": "purchase", "type": "bytes32"}
    assert (commit["kind"], commit["signed_by"], commit["needs_operator"]) == ("303", ["buyer"], False)
    assert {"code": "51", "name": "MORE_THAN_DECLARED"} in body["codes"]
    assert len(body["tables"]) == len(TABLES)


@pytest.mark.parametrize("kind", KINDS.values())
def test_who_signs_is_said_as_the_contract_has_it(kind: type[Fields]) -> None:
    rules: Kind[Any] = RULES[kind.KIND]
    nobody = Kind.__dataclass_fields__["signers"].default
    assert bool(signed_by(kind)) == (rules.signers is not nobody)
    assert set(SIGNED_BY.get(kind, ())) <= set(layout(kind).names)
    assert signed_by(kind) or needs_operator(kind)


def sample(kind: type[Fields]) -> Fields:
    shape = layout(kind)
    return kind(
        *(
            (b"\x01" * 32, b"\x02" * 32) if isinstance(t, ListOf) else 3 if isinstance(t, Integer) else b"\x04" * 32
            for t in shape.types
        )
    )


@pytest.mark.parametrize("kind", KINDS.values())
@pytest.mark.parametrize("domain", [Domain(b"\x09" * 32), Domain(b"\x09" * 32, 1337, b"\x08" * 20)], ids=["", "evm"])
def test_a_wallet_signs_what_the_contract_checks(kind: type[Fields], domain: Domain) -> None:
    """Another implementation of EIP-712 comes to the same digest from the typed data."""
    command = commands.Command(bytes(32), b"\x07" * 32, sample(kind), b"\x06" * 32, 2**63)
    message = encode_typed_data(full_message=typed_data(domain, command))
    digest = keccak(b"\x19" + message.version + message.header + message.body)
    assert digest == commands.wallet_digest(domain, command)


@pytest.mark.parametrize("kind", KINDS.values())
def test_json_gives_the_same_command_back(kind: type[Fields]) -> None:
    signature = (b"\x03" * 32, b"\x02" * 64)
    command = commands.Command(b"\x05" * 32, b"\x07" * 32, sample(kind), b"\x06" * 32, 9, (signature,))
    assert read_command(b"\x05" * 32, command_members(command)) == command


def test_typed_data_of_a_command(world: World) -> None:
    fields = command_members(signed(publish(world)))["fields"]
    url, body = f"{API}/typed-data", {"kind": "PublishOffer", "fields": fields}

    def ask(client: Client, **more: Any) -> Any:
        return client.post(url, {**body, **more}, content_type="application/json")

    assert by_everybody(world, ask) == everybody(403, 200, 200, 200, 200, 200)
    first, second = (ask(world.client("alice")).json() for _ in range(2))
    assert first["id"] != second["id"]  # each has a nonce of its own
    command = read_command(embedded().genesis().market, first["command"])
    assert encode_bytes(command.id) == first["id"]
    assert decode_bytes(first["digest"]) == commands.wallet_digest(embedded().wallet_domain(), command)
    assert first["typed_data"]["primaryType"] == "PublishOffer"
    again = ask(world.client("alice"), nonce=first["command"]["nonce"]).json()
    assert again == first
    assert ask(world.client("alice"), signatures=[]).status_code == 400


# The whole


@pytest.mark.parametrize("path", ["events", f"state/offer/{'A' * 43}", f"proof/{'A' * 43}"])
def test_heavy_reads_are_throttled(world: World, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(HeavyReads, "rate", "2/min")
    client = world.client("clerk")
    statuses = [client.get(f"{API}/{path}").status_code for _ in range(3)]
    assert statuses[2] == 429
    assert 429 not in statuses[:2]
    answer = client.get(f"{API}/{path}")
    assert answer["Content-Type"] == "application/problem+json"
    assert 0 < int(answer["Retry-After"]) <= 60


def test_a_ledger_that_is_away_is_a_problem_with_a_name(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*arguments: object) -> None:
        raise Transient("connection refused to 10.0.0.7")

    monkeypatch.setattr(embedded(), "read", away)
    answer = world.client("bob").get(state_url("offer", (world.offer.ledger_id,)))
    assert (answer.status_code, answer.json()["detail"]) == (503, "The ledger does not answer.")


def test_every_address_is_documented(world: World) -> None:
    out, warnings = StringIO(), StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json", stdout=out, stderr=warnings)
    paths = re.findall(r'"(/api/v1/ledger/[^"]+)"', out.getvalue())
    assert (
        paths
        == sorted(paths)
        == [
            "/api/v1/ledger/commands",
            "/api/v1/ledger/commands/{command_id}",
            "/api/v1/ledger/events",
            "/api/v1/ledger/kinds",
            "/api/v1/ledger/proof/{command_id}",
            "/api/v1/ledger/state/{table}",
            "/api/v1/ledger/state/{table}/{ids}",
            "/api/v1/ledger/typed-data",
        ]
    )

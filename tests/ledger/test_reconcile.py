"""`ledger verify` and `ledger audit`: a market as it should be has no differences, and every single one is named."""

import re
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, replace
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django.plugin import DjangoDbBlocker

from apps.accounts.models import Party, PartyKey
from apps.accounts.services.parties import register_party, signer_of
from apps.assets.models import Plant
from apps.billing.models import Invoice
from apps.ledger.choices import LedgerState
from apps.ledger.consumers import consumers
from apps.ledger.ledgers import DEFAULT, get_ledger
from apps.ledger.models import Command, Cursor, Event, OnLedger
from apps.ledger.reconcilers import reconcilers
from apps.ledger.services.enqueue import enqueue
from apps.ledger.services.reconcile import audit
from apps.ledger.services.replay import verify
from apps.ledger.services.sweep import drain
from apps.metering.models import Anchor, Device, DeviceKey
from apps.metering.services.devices import revoke_key
from apps.offers.models import Declaration, Offer, Purchase
from apps.offers.services import buy
from apps.settlement.models import Settlement
from evidence import commands
from evidence.commands.kinds import (
    ChangeParticipantState,
    ReportDailyEnergy,
    RevokeDeviceKey,
    RotateDeviceKey,
    TransferDevice,
    TransferPlant,
)
from evidence.keys import SoftwareKey
from evidence.state import state_root
from ledger_adapters.contract import Code, records
from ledger_adapters.embedded.adapter import EmbeddedLedger
from ledger_adapters.embedded.store import MemoryStore
from ledger_adapters.exceptions import Transient
from tests.portal.world import World, make_world


@pytest.fixture(scope="module")
def market(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    """A market in which all that is reconciled is there: settled and billed days, an offer on sale, a device."""
    with django_db_blocker.unblock():
        outer = transaction.atomic()
        # As Django's own test cases do: lets `atomic(durable=True)` run inside.
        outer._from_testcase = True  # type: ignore[attr-defined]
        with outer:
            world = make_world()
            yield world
            transaction.set_rollback(True)


@pytest.fixture
def world(market: World, db: None) -> Iterator[World]:
    """Rows are rolled back after each test, and so is the ledger."""
    kept = {name: copy(value) for name, value in vars(store()).items() if name != "_lock"}
    yield market
    vars(store()).update(kept)


def embedded() -> EmbeddedLedger:
    found = get_ledger(DEFAULT)
    assert isinstance(found, EmbeddedLedger)
    return found


def store() -> MemoryStore:
    found = embedded()._store
    assert isinstance(found, MemoryStore)
    return found


def send(*envelopes: bytes) -> None:
    embedded().submit(embedded().prepare(envelopes))


def utility_state(world: World, state: int, valid_until: int = 0) -> bytes:
    """A command of the operator that this installation's outbox knows nothing of."""
    fields = ChangeParticipantState(world.market.utility.ledger_id, state)
    market = embedded().genesis().market
    return commands.Command(market, bytes(31) + bytes([state]), fields, valid_until=valid_until).envelope.encode()


def run(action: str) -> tuple[str, str]:
    """What the command prints, and its error, empty for exit code 0."""
    out, progress = StringIO(), StringIO()
    try:
        call_command("ledger", action, stdout=out, stderr=progress)
    except CommandError as error:
        return out.getvalue(), str(error)
    assert progress.getvalue()
    return out.getvalue(), ""


# Verify


def test_what_the_entries_give_is_what_the_ledger_holds(world: World) -> None:
    out, error = run("verify")
    assert error == ""
    entries = store().state_entries()
    assert f"{embedded().health().size} entries replayed, {len(entries)} records" in out
    assert f"state root {state_root(entries).hex()}" in out
    assert out.endswith("no differences\n")


def test_rejections_come_out_as_they_were_recorded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that only the operator's missing signature explains, and bytes that are no command."""
    with monkeypatch.context() as patched:
        patched.setattr(embedded(), "operator", SoftwareKey.generate())
        send(utility_state(world, 2), b"no command")
    send(utility_state(world, 3, valid_until=1))
    send(utility_state(world, 1))
    codes = [event.outcome.code for event in embedded().events(0, 10_000).events][-4:]
    assert codes == [Code.OPERATOR_SIGNATURE, Code.BAD_ENCODING, Code.EXPIRED, Code.BAD_STATE]
    assert verify(DEFAULT).differences == ()


def entries(change: Callable[[list[Any]], None]) -> Callable[[], None]:
    return lambda: change(store()._events)


def outcome(position: int, **values: Any) -> Callable[[], None]:
    def change(events: list[Any]) -> None:
        event = events[position]
        events[position] = replace(event, outcome=replace(event.outcome, **values))

    return entries(change)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (outcome(3, code=Code.OFFER_OVER), r"entry 3, \w+: the outcome comes out as APPLIED, .* recorded OFFER_OVER"),
        (outcome(3, time=1), r"record [0-9a-f]{64} \(entry 3, \w+\): the entries give [0-9a-f]+, the ledger holds"),
        (outcome(3, id=b"\x01" * 32), r"entry 3, \w+: the id comes out as [0-9a-f]{64}, the ledger recorded 0101"),
        (entries(lambda events: events.pop(1)), r"entry \d+, \w+: the outcome comes out as \w+_UNKNOWN"),
    ],
    ids=["outcome", "time", "id", "missing"],
)
def test_a_journal_that_was_changed_is_found_out(world: World, change: Callable[[], None], named: str) -> None:
    change()
    out, error = run("verify")
    assert re.search(r"^\d+ differences$", error)
    assert any(re.match(named, line) for line in out.splitlines()), out


def test_a_record_that_no_entry_gives_is_named_with_the_entry_that_wrote_it(world: World) -> None:
    key = records.Offer.key(bytes(world.offer.ledger_id))
    changed = replace(records.Offer.decode(store()._state[key]), price=1)
    store()._state[key] = changed.encode()
    (difference,) = verify(DEFAULT).differences
    assert re.match(rf"record {key.hex()} \(entry \d+, PublishOffer\)", difference.where)
    assert f"the ledger holds {changed.encode().hex()}" in difference.what


def test_a_ledger_that_goes_on_while_it_is_read_differs_in_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = embedded().health().size
    read, coming = embedded().read, [utility_state(world, 1), utility_state(world, 2)]

    def moving(keys: Any) -> Any:
        if coming:
            send(coming.pop())
        return read(keys)

    monkeypatch.setattr(embedded(), "read", moving)
    found = verify(DEFAULT)
    assert found.differences == ()
    assert (found.entries, found.root) == (before + 2, state_root(store().state_entries()))


@pytest.mark.parametrize("action", ["verify", "audit"])
def test_a_ledger_that_is_away_is_one_clear_error(world: World, monkeypatch: pytest.MonkeyPatch, action: str) -> None:
    def away(*arguments: object) -> None:
        raise Transient("connection refused")

    monkeypatch.setattr(embedded(), "events", away)
    assert run(action)[1] == "ledger 'default': connection refused"


# Audit


def test_a_market_as_it_should_be_has_no_differences(world: World) -> None:
    out, error = run("audit")
    assert error == ""
    size = embedded().health().size
    assert f"compared {size} entries, {size} receipts" in out
    for reconciler in reconcilers():
        assert re.search(rf"\d+ {reconciler.name}\b", out), reconciler.name
    assert out.endswith("no differences\n")


def test_what_waits_for_the_ledger_is_no_difference(world: World) -> None:
    buy(offer=world.offer, buyer=world.bob_point.party, point=world.bob_point, energy_wh=500)
    revoke_key(DeviceKey.objects.get())
    register_party(name="new", utility=world.market.utility)
    assert audit(DEFAULT) == []
    drain(DEFAULT)
    assert audit(DEFAULT) == []


@dataclass(frozen=True)
class Tampering:
    """A row that somebody changed behind the services' back, and how the audit names it."""

    change: Callable[[World], Any]
    named: str


def first(model: type[OnLedger]) -> Any:
    return model._default_manager.filter(ledger_state=LedgerState.CONFIRMED).order_by("pk")


def changed(model: type[OnLedger], **values: Any) -> Callable[[World], Any]:
    def change(world: World) -> None:
        thing = first(model).first()
        assert model._default_manager.filter(pk=thing.pk).update(**values) == 1

    return change


def take_back_revocation(world: World) -> None:
    revoke_key(DeviceKey.objects.get())
    drain(DEFAULT)
    DeviceKey.objects.update(revoked_at=None)


def forget_entry(world: World) -> None:
    Event.objects.filter(position=5).delete()


def forget_rejection(world: World) -> None:
    reject_ours(world)
    rejected = Command.objects.filter(state="rejected")
    assert rejected.update(event=None, code=None, ledger_time=None, state="sent") == 1


def reject_ours(world: World) -> None:
    """A command that the contract would have taken when it was queued, and refuses when it arrives."""
    with transaction.atomic():
        enqueue(ChangeParticipantState(world.market.utility.ledger_id, 2))
    send(utility_state(world, 2))
    drain(DEFAULT)


def foreign_entry(world: World) -> None:
    last = Event.objects.order_by("position").last()
    assert last is not None
    Cursor.objects.filter(reader="listener").update(position=last.position + 2)
    last.pk, last.position = None, last.position + 1
    last.save(force_insert=True)


TAMPERED = {
    "a party's name": Tampering(changed(Party, name="Somebody else"), r"parties \d+ .*: contents is"),
    "a party's role": Tampering(
        lambda w: Party.objects.filter(pk=w.bob_point.party.pk).update(role=4),
        r"parties \d+ .*: role is 4 here and 3 on the ledger",
    ),
    "a party's key": Tampering(
        lambda w: PartyKey.objects.filter(party=w.market.utility).update(x=b"\x01" * 32),
        r"keys \d+ .*: x is 0101\w+ here and",
    ),
    "a plant's power": Tampering(
        changed(Plant, power_w=1), r"plants \d+ .*: power_w is 1 here and 10000 on the ledger"
    ),
    "a device's owner": Tampering(
        lambda w: Device.objects.update(owner=w.bob_point.party), r"devices \d+ \(Box\): owner is"
    ),
    "a revocation taken back": Tampering(
        take_back_revocation, r"devices \d+ \(Box\): revoked is False here and True on the ledger"
    ),
    "an anchor's count": Tampering(changed(Anchor, count=7), r"anchors \d+ .*: count is 7 here and 2 on the ledger"),
    "an anchor's root": Tampering(
        changed(Anchor, root=b"\x02" * 32), r"anchors \d+ .*: is confirmed here, and the ledger has no Anchor of it"
    ),
    "declared energy": Tampering(
        changed(Declaration, energy_wh=10**9), r"declarations \d+ .*: energy is 1000000000 here and \d+ on the ledger"
    ),
    "offered energy": Tampering(
        changed(Declaration, offered_wh=1), r"declarations \d+ .*: offered is 1 here and \d+ on the ledger"
    ),
    "a price": Tampering(changed(Offer, price_micro=1), r"offers \d+ .*: price is 1 here and 182500 on the ledger"),
    "sold energy": Tampering(changed(Offer, committed_wh=0), r"offers \d+ .*: committed is 0 here and 2500 on the led"),
    "a bought amount": Tampering(
        changed(Purchase, energy_wh=9), r"purchases \d+ .*: energy is 9 here and 2500 on the ledger"
    ),
    "a settlement's root": Tampering(changed(Settlement, root=b"\x03" * 32), r"settlements \d+ .*: root is 0303"),
    "an invoice's document": Tampering(changed(Invoice, document=b"{}"), r"invoices \d+ .*: document is"),
    "a state": Tampering(
        changed(Purchase, ledger_state=LedgerState.REJECTED),
        r"purchases \d+ .*: is rejected here, and its command is confirmed",
    ),
    "a confirmation without a command": Tampering(
        changed(Plant, command_id=None), r"plants \d+ .*: is confirmed here, and was never sent"
    ),
    "an object that is gone": Tampering(
        changed(Purchase, command_id=b"\x04" * 32),
        r"entry \d+ \(CommitPurchase \w+\): there is nothing among the purchases that it is about",
    ),
    "a receipt's outcome": Tampering(
        lambda w: Command.objects.filter(event=4).update(code=51),
        r"entry 4 \(.*\): the receipt's outcome is 51 here and 0 on the ledger",
    ),
    "a receipt of another entry": Tampering(
        lambda w: Command.objects.filter(event=4).update(event=10**6), r"command \w+ \w+: is confirmed by entry 1000000"
    ),
    "a receipt that is missing": Tampering(
        lambda w: Command.objects.filter(event=4).update(event=None, code=None, state="queued"),
        r"entry 4 \(.*\): the command's receipt is none",
    ),
    "a rejection without a receipt": Tampering(
        forget_rejection, r"entry \d+ \(ChangeParticipantState \w+\): the command's receipt is none"
    ),
    "a stored entry": Tampering(
        lambda w: Event.objects.filter(position=4).update(time=1), r"entry 4 \(.*\): time is 1 here and \d+ on the led"
    ),
    "an entry that is not stored": Tampering(forget_entry, r"entry 5 \(.*\): is on the ledger and not stored here"),
    "an entry of nobody": Tampering(foreign_entry, r"entry \d+: is stored here and not on the ledger"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_every_difference_is_named(world: World, name: str) -> None:
    TAMPERED[name].change(world)
    out, error = run("audit")
    assert re.search(r"^\d+ differences$", error)
    assert any(re.match(TAMPERED[name].named, line) for line in out.splitlines()), out


def test_what_was_only_on_its_way_while_it_was_compared_is_no_difference(world: World) -> None:
    Purchase.objects.filter(pk=world.purchase.pk).update(energy_wh=1)
    Event.objects.filter(position=3).update(time=1)
    time = embedded().events(3, 1).events[0].outcome.time
    compared = set()

    def progress(what: str, done: int) -> None:
        compared.add(what)
        if {"entries", "purchases"} <= compared:
            Purchase.objects.filter(pk=world.purchase.pk).update(energy_wh=2_500)
            Event.objects.filter(position=3).update(time=time)

    assert audit(DEFAULT, progress) == []
    assert {"entries", "receipts", *(reconciler.name for reconciler in reconcilers())} == compared


def test_a_rejection_with_its_receipt_is_no_difference(world: World) -> None:
    reject_ours(world)
    assert Command.objects.get(state="rejected").code == Code.BAD_STATE
    assert audit(DEFAULT) == []


def test_a_rejection_that_others_brought_about_is_no_difference(world: World) -> None:
    """The same command, relayed without the operator's signature, before this installation sent it itself."""
    with transaction.atomic():
        command_id = enqueue(ChangeParticipantState(world.market.utility.ledger_id, 2))
    envelope = bytes(Command.objects.get(command_id=command_id).envelope)
    own, embedded().operator = embedded().operator, SoftwareKey.generate()
    send(envelope)
    embedded().operator = own
    drain(DEFAULT)
    assert list(Event.objects.filter(command_id=command_id).order_by("position").values_list("code", flat=True)) == [
        Code.OPERATOR_SIGNATURE,
        Code.APPLIED,
    ]
    assert audit(DEFAULT) == []


def test_an_entry_that_changes_what_no_consumer_deals_with_is_named(world: World) -> None:
    """A wallet's own transaction, say: the ledger took it, and nothing here knows what to do with it."""
    plant, genesis = world.market.plants["alice"], embedded().genesis()
    seller, buyer = plant.owner, world.bob_point.party
    fields = TransferPlant(bytes(plant.ledger_id), bytes(seller.ledger_id), bytes(buyer.ledger_id))
    command = commands.Command(genesis.market, b"\x07" * 32, fields)
    send(command.signed_by(genesis.ledger, signer_of(seller), signer_of(buyer)).envelope.encode())
    drain(DEFAULT)
    (difference,) = audit(DEFAULT)
    here, there = bytes(seller.ledger_id).hex(), bytes(buyer.ledger_id).hex()
    assert difference.what == f"owner is {here} here and {there} on the ledger"


def test_a_key_that_was_revoked_by_another_way_is_revoked_here(world: World) -> None:
    key = DeviceKey.objects.get()
    fields = RevokeDeviceKey(bytes(key.device.ledger_id), bytes(key.key_id))
    send(commands.Command(embedded().genesis().market, b"\x07" * 32, fields).envelope.encode())
    drain(DEFAULT)
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert audit(DEFAULT) == []


def test_a_revocation_that_waits_is_no_difference_and_one_that_was_refused_is(world: World) -> None:
    key = DeviceKey.objects.get()
    revoke_key(key)
    assert audit(DEFAULT) == []
    Command.objects.filter(kind=RevokeDeviceKey.KIND).delete()
    (difference,) = audit(DEFAULT)
    assert difference.what == "revoked is True here and False on the ledger"


def test_an_audit_asks_no_more_of_many_objects(world: World) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert audit(DEFAULT) == []
        return len(captured)

    before = count()
    for number in range(5):
        register_party(name=f"new {number}", utility=world.market.utility)
    drain(DEFAULT)
    assert count() == before


def test_every_consumer_has_reconcilers_for_its_objects() -> None:
    """What is confirmed by a consumer is also held against the ledger; much shows in the device.

    A report of a day is only copied from the ledger: nothing here could differ before it is there.
    """
    shown = {ReportDailyEnergy, RevokeDeviceKey, RotateDeviceKey, TransferDevice}
    told = {kind for consumer in consumers() for kind in consumer.confirmed} - shown
    assert told == {kind for reconciler in reconcilers() for kind in reconciler.sent_by}


def test_every_object_on_the_ledger_has_a_reconciler() -> None:
    assert {reconciler.model for reconciler in reconcilers()} == set(OnLedger.__subclasses__())


def test_an_outbox_that_has_sent_nothing_is_reconciled_too(world: World) -> None:
    with transaction.atomic():
        enqueue(ChangeParticipantState(world.market.utility.ledger_id, 2))
    assert audit(DEFAULT) == []

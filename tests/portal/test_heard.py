"""What wallets brought to the ledger themselves is made good here, once, as far as our own rules allow."""

from dataclasses import replace

import pytest

from apps.accounting.models import Entry, EntryKind
from apps.accounts.models import Party
from apps.accounts.services.parties import signer_of
from apps.ledger.choices import CommandState, LedgerState
from apps.ledger.ledgers import DEFAULT
from apps.ledger.models import Command, Cursor, Event
from apps.ledger.services.listen import consume, listen
from apps.ledger.services.reconcile import audit
from apps.ledger.services.sweep import drain
from apps.metering.models import Device
from apps.offers.choices import OfferStatus
from apps.offers.models import ClosedDay, Declaration, Offer, Purchase
from evidence.canonical import encode_bytes
from evidence.commands.kinds import (
    ChangeParticipantState,
    CommitPurchase,
    RevokeDeviceKey,
    TransferDevice,
)
from ledger_adapters.contract import Code
from tests.portal.test_ledger_api import (
    API,
    DEVICE_KEY,
    by_everybody,
    device,
    embedded,
    everybody,
    same_ledger,
    send,
    signed,
)
from tests.portal.wallets import (
    ALICE_WALLET,
    BOB_WALLET,
    BOUGHT,
    NANO,
    NOT_YET_YOURS,
    OFFERED,
    OWN_POINT,
    WH,
    Changes,
    alice,
    apply,
    balance,
    balance_of,
    bob,
    by_wallet,
    declined_because,
    errors,
    moved,
    publication,
    purchase,
    to,
    withdrawal,
)
from tests.portal.world import OPEN, PRICE, World

__all__ = ["alice", "bob", "device", "same_ledger"]


def test_a_purchase_that_was_heard_shows_like_any_other(world: World, bob: Party) -> None:
    sent = by_wallet(purchase(world), BOB_WALLET)
    before = balance(bob)
    assert apply(sent) == [Code.APPLIED]
    drain(DEFAULT)
    made = Purchase.objects.get(ledger_id=BOUGHT)
    assert (made.buyer, made.point, made.energy_wh, made.price_micro, made.is_confirmed) == (
        bob,
        world.bob_point,
        WH,
        PRICE,
        True,
    )
    world.offer.refresh_from_db()
    assert (world.offer.committed_wh, balance(bob) - before, balance_of(made)) == (WH, NANO, [("purchase", NANO)])
    receipt = Command.objects.get(command_id=sent.id)
    assert (receipt.state, receipt.code, receipt.event) == (
        CommandState.CONFIRMED,
        Code.APPLIED,
        embedded().health().size - 1,
    )
    outcome = f"{API}/commands/{encode_bytes(sent.id)}"
    assert by_everybody(world, lambda client: client.get(outcome)) == everybody(403, 200, 200, 404, 200, 200)
    page = world.client("bob").get(f"/purchases/{made.pk}/").content.decode()
    assert sent.id.hex() in page
    record = world.client("bob").get(f"/ledger/{sent.id.hex()}/").content.decode()
    assert "sent to the ledger by another way than this installation" in record
    assert audit(DEFAULT) == []


def test_what_was_heard_is_adopted_once(world: World, bob: Party) -> None:
    """Also when the same command comes over REST, before or after, and when the events are heard again."""
    first, second = (
        by_wallet(purchase(world, purchase=bytes([n]) * 32, energy=100), BOB_WALLET, nonce=n) for n in (1, 2)
    )
    assert apply(first) == [Code.APPLIED]
    # Not heard yet: it is queued, and the ledger answers that it has it.
    assert send(world.client("bob"), first).status_code == 202
    drain(DEFAULT)
    assert apply(second) == [Code.APPLIED]
    drain(DEFAULT)
    assert send(world.client("bob"), second).status_code == 202
    Cursor.objects.filter(reader="offers").update(position=0)
    consume(DEFAULT)
    drain(DEFAULT)
    bought = Purchase.objects.filter(offer=world.offer)
    assert (bought.count(), bought.filter(ledger_state=LedgerState.CONFIRMED).count()) == (2, 2)
    for made in bought:
        assert balance_of(made) == [("purchase", 100 * PRICE)]
    assert audit(DEFAULT) == []


def test_offers_and_their_ends_that_were_heard(world: World, alice: Party) -> None:
    offered = Declaration.objects.get(pk=world.declaration.pk).offered_wh
    fields = publication(world)
    assert apply(by_wallet(fields, ALICE_WALLET)) == [Code.APPLIED]
    drain(DEFAULT)
    offer = Offer.objects.get(ledger_id=OFFERED)
    assert (offer.status, offer.is_confirmed, offer.energy_wh) == (OfferStatus.OPEN, True, 2_000)
    assert Declaration.objects.get(pk=world.declaration.pk).offered_wh == offered + 2_000
    assert audit(DEFAULT) == []
    assert apply(by_wallet(withdrawal(world, offer), ALICE_WALLET, nonce=2)) == [Code.APPLIED]
    drain(DEFAULT)
    offer.refresh_from_db()
    assert offer.status == OfferStatus.WITHDRAWN
    assert Declaration.objects.get(pk=world.declaration.pk).offered_wh == offered
    assert audit(DEFAULT) == []


def test_an_end_that_was_faster_than_ours_and_than_a_purchase(world: World, alice: Party, bob: Party) -> None:
    """What waits here is refused one after the other, and what was held for it is free again."""
    before = balance(bob)
    send(world.client("bob"), by_wallet(purchase(world), BOB_WALLET))
    ours = by_wallet(withdrawal(world), ALICE_WALLET, nonce=2)
    assert send(world.client("alice"), ours).status_code == 202
    theirs = by_wallet(withdrawal(world), ALICE_WALLET, nonce=3)
    assert apply(theirs) == [Code.APPLIED]
    drain(DEFAULT)
    made = Purchase.objects.get(ledger_id=BOUGHT)
    assert (made.ledger_state, made.ledger_code, balance(bob)) == (LedgerState.REJECTED, Code.OFFER_NOT_OPEN, before)
    world.offer.refresh_from_db()
    assert (world.offer.status, world.offer.committed_wh) == (OfferStatus.WITHDRAWN, 0)
    assert bytes(world.offer.closing_id or b"") == theirs.id
    assert Declaration.objects.get(pk=world.declaration.pk).offered_wh == 0
    assert audit(DEFAULT) == []


def test_more_is_committed_than_there_is_until_the_ledger_has_refused_ours(
    world: World, alice: Party, bob: Party
) -> None:
    """Here 2,500 Wh of 3,000 wait; there somebody else's 2,000 are faster."""
    send(world.client("bob"), by_wallet(purchase(world, energy=2_500), BOB_WALLET))
    faster = by_wallet(purchase(world, purchase=b"\x0c" * 32, energy=2_000), BOB_WALLET, nonce=2)
    assert apply(faster) == [Code.APPLIED]
    listen(DEFAULT)
    consume(DEFAULT)
    offer = Offer.objects.get(pk=world.offer.pk)
    assert (offer.committed_wh, offer.remaining_wh) == (4_500, 0)
    drain(DEFAULT)
    offer.refresh_from_db()
    assert (offer.committed_wh, offer.remaining_wh) == (2_000, 1_000)
    states = Purchase.objects.filter(offer=offer).order_by("energy_wh").values_list("energy_wh", "ledger_state")
    assert list(states) == [(2_000, LedgerState.CONFIRMED), (2_500, LedgerState.REJECTED)]
    assert audit(DEFAULT) == []


def test_a_purchase_that_was_rejected_and_applied_after_all_is_due_again(world: World, bob: Party) -> None:
    """A rejected command is not used up: whoever saw it may bring it to the ledger once more."""
    sent = by_wallet(purchase(world), BOB_WALLET)
    state = bytes(bob.ledger_id)
    before = balance(bob)
    send(world.client("bob"), sent)
    assert apply(signed(ChangeParticipantState(state, 2), nonce=9)) == [Code.APPLIED]
    drain(DEFAULT)
    made = Purchase.objects.get(ledger_id=BOUGHT)
    assert (made.ledger_state, balance(bob)) == (LedgerState.REJECTED, before)
    assert apply(signed(ChangeParticipantState(state, 1), nonce=10), sent) == [Code.APPLIED, Code.APPLIED]
    drain(DEFAULT)
    made.refresh_from_db()
    world.offer.refresh_from_db()
    assert (made.ledger_state, made.ledger_code, world.offer.committed_wh) == (LedgerState.CONFIRMED, None, WH)
    assert balance_of(made) == [
        (EntryKind.PURCHASE, NANO),
        (EntryKind.PURCHASE_REVERSED, -NANO),
        (EntryKind.PURCHASE, NANO),
    ]
    assert audit(DEFAULT) == []


def test_an_offer_that_was_rejected_and_applied_after_all_is_on_sale(world: World, alice: Party) -> None:
    sent, state = by_wallet(publication(world), ALICE_WALLET), bytes(alice.ledger_id)
    send(world.client("alice"), sent)
    assert apply(signed(ChangeParticipantState(state, 2), nonce=9)) == [Code.APPLIED]
    drain(DEFAULT)
    offer = Offer.objects.get(ledger_id=OFFERED)
    assert (offer.status, offer.ledger_state) == (OfferStatus.DRAFT, LedgerState.REJECTED)
    assert apply(signed(ChangeParticipantState(state, 1), nonce=10), sent) == [Code.APPLIED, Code.APPLIED]
    drain(DEFAULT)
    offer.refresh_from_db()
    assert (offer.status, offer.ledger_state) == (OfferStatus.OPEN, LedgerState.CONFIRMED)
    assert audit(DEFAULT) == []


NOT_ADOPTED: dict[str, tuple[Changes, str]] = {
    "alice's point": (lambda w: {"point": bytes(w.alice_point.ledger_id)}, OWN_POINT),
    "the outsider's point": (lambda w: {"point": bytes(w.elsewhere.ledger_id)}, OWN_POINT),
    "no point": (to(point=b"\x01" * 32), OWN_POINT),
    "a point that was another's": (moved, NOT_YET_YOURS),
}


@pytest.mark.parametrize("case", NOT_ADOPTED)
def test_a_purchase_that_breaks_a_rule_of_ours_is_left_for_the_audit(
    world: World, bob: Party, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The contract does not know whose a metering point is."""
    changes, reason = NOT_ADOPTED[case]
    entries = Entry.objects.count()
    assert apply(by_wallet(purchase(world, **changes(world)), BOB_WALLET)) == [Code.APPLIED]
    drain(DEFAULT)
    assert not Purchase.objects.filter(ledger_id=BOUGHT).exists()
    assert (Entry.objects.count(), Command.objects.filter(kind=CommitPurchase.KIND).count()) == (entries, 2)
    assert declined_because(caplog) == [reason]
    texts = {difference.what for difference in audit(DEFAULT)}
    assert "there is nothing among the purchases that it is about" in texts
    # What comes after it is heard as ever.
    assert apply(by_wallet(purchase(world, purchase=b"\x0d" * 32), BOB_WALLET, nonce=2)) == [Code.APPLIED]
    drain(DEFAULT)
    assert Purchase.objects.get(ledger_id=b"\x0d" * 32).is_confirmed


def test_offers_that_break_a_rule_of_ours_are_left_and_so_are_purchases_of_them(
    world: World, alice: Party, bob: Party, caplog: pytest.LogCaptureFixture
) -> None:
    long = by_wallet(publication(world, open_until=2**63), ALICE_WALLET)
    bought = by_wallet(purchase(world, offer=OFFERED), BOB_WALLET)
    ended = by_wallet(withdrawal(world, Offer(ledger_id=OFFERED)), ALICE_WALLET, nonce=2)
    assert apply(long, bought, ended) == [Code.APPLIED] * 3
    ClosedDay.objects.create(area=world.market.area, day=OPEN)
    late = by_wallet(publication(world, offer=b"\x0e" * 32), ALICE_WALLET, nonce=3)
    assert apply(late) == [Code.APPLIED]
    drain(DEFAULT)
    assert declined_because(caplog) == [
        "This day is settled: nothing of it can be sold any more.",
        "OFFER_UNKNOWN",
        "OFFER_UNKNOWN",
        "This day is settled: nothing of it can be sold any more.",
    ]
    assert not Offer.objects.filter(ledger_id__in=[OFFERED, b"\x0e" * 32]).exists()


def test_nothing_of_another_ledger_is_taken_for_ours(world: World, bob: Party) -> None:
    """Its operator could name our offers and points in commands that we cannot check."""
    assert apply(by_wallet(purchase(world), BOB_WALLET)) == [Code.APPLIED]
    listen(DEFAULT)
    Event.objects.filter(command_id=by_wallet(purchase(world), BOB_WALLET).id).update(ledger="elsewhere")
    consume("elsewhere")
    assert not Purchase.objects.filter(ledger_id=BOUGHT).exists()


# Devices


def test_a_device_changes_hands_when_both_owners_signed(world: World, device: Device, bob: Party) -> None:
    """Either may send it; it is the next owner's once the ledger says so."""
    owner = world.alice_point.party
    fields = TransferDevice(bytes(device.ledger_id), bytes(owner.ledger_id), bytes(bob.ledger_id))
    half = signed(fields, signer_of(owner))
    whole = replace(half, signatures=(*half.signatures, *by_wallet(fields, BOB_WALLET).signatures))
    assert errors(send(world.client("alice"), half))[0][0] == "SIGNATURE_COUNT"
    assert by_everybody(world, lambda client: send(client, whole)) == everybody(403, 202, 202, 403, 403, 403)
    device.refresh_from_db()
    assert device.owner == owner
    drain(DEFAULT)
    device.refresh_from_db()
    assert device.owner == bob
    assert audit(DEFAULT) == []


def test_a_device_goes_to_nobody_elsewhere(world: World, device: Device) -> None:
    owner = world.alice_point.party
    to_outsider = TransferDevice(
        bytes(device.ledger_id), bytes(owner.ledger_id), bytes(world.elsewhere.party.ledger_id)
    )
    answer = send(world.client("alice"), signed(to_outsider, signer_of(owner), signer_of(owner)))
    assert errors(answer) == [("declined", "The next owner is no party of this market.")]
    unknown = replace(to_outsider, device=b"\x01" * 32)
    assert (
        errors(send(world.client("alice"), signed(unknown, signer_of(owner), signer_of(owner))))[0][0]
        == "DEVICE_UNKNOWN"
    )


def test_staff_revoke_a_key(world: World, device: Device) -> None:
    sent = signed(RevokeDeviceKey(bytes(device.ledger_id), DEVICE_KEY.public_key.id))
    assert by_everybody(world, lambda client: send(client, sent)) == everybody(403, 403, 403, 403, 202, 403)
    assert device.keys.get().revoked_at is not None
    drain(DEFAULT)
    assert audit(DEFAULT) == []
    unknown = signed(RevokeDeviceKey(bytes(device.ledger_id), b"\x01" * 32), nonce=2)
    assert errors(send(world.client("clerk"), unknown))[0][0] == "KEY_UNKNOWN"

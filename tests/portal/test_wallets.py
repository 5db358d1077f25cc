"""What people sign with their wallets and send over REST is sold, settled and billed as on the pages."""

from dataclasses import replace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounting.models import Entry
from apps.accounts.choices import KeyCustody, MemberRole
from apps.accounts.models import Party, PartyKey
from apps.billing.services.bundles import evidence_bundle
from apps.ledger.catalogue import members_of
from apps.ledger.choices import LedgerState
from apps.ledger.ledgers import DEFAULT
from apps.ledger.models import Command
from apps.ledger.services.enqueue import LONGEST_WAIT
from apps.ledger.services.founding import trust_anchors
from apps.ledger.services.reconcile import audit
from apps.ledger.services.sweep import drain
from apps.offers.choices import OfferStatus
from apps.offers.models import ClosedDay, Declaration, Offer, Purchase
from evidence import commands
from evidence.bundle import load
from evidence.canonical import decode_bytes, encode_bytes
from evidence.commands.kinds import (
    ChangeParticipantState,
    CloseOffer,
)
from evidence.keys import Algorithm, SoftwareKey
from evidence.verify import verify
from ledger_adapters.contract import Code
from ledger_adapters.contract.records import Participant
from tests.factories import MembershipFactory
from tests.portal.test_ledger_api import (
    API,
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
    LEFT,
    NANO,
    NOT_THERE,
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
    errors,
    moved,
    publication,
    purchase,
    rotation,
    settled_and_billed,
    to,
    vacant,
    withdrawal,
)
from tests.portal.world import OPEN, PRICE, World

__all__ = ["alice", "bob", "device", "same_ledger"]


# A key of one's own


def test_who_makes_a_key_over(world: World) -> None:
    """Only who acts for the party; the platform signs it, for the last time."""
    party = world.market.party("bob")
    sent = signed(rotation(party, BOB_WALLET))
    assert by_everybody(world, lambda client: send(client, sent)) == everybody(403, 403, 202, 403, 403, 403)
    queued = commands.Command.from_bytes(bytes(Command.objects.get(command_id=sent.id).envelope))
    assert 0 <= int(timezone.now().timestamp()) + LONGEST_WAIT - queued.valid_until <= 60
    before, after = party.keys.order_by("pk")
    assert (before.custody, after.custody) == (KeyCustody.CUSTODIAL, KeyCustody.OWN)
    assert (before.ended_at is None, after.ended_at, after.ledger_state) == (False, None, LedgerState.PENDING)
    assert audit(DEFAULT) == []
    drain(DEFAULT)
    after.refresh_from_db()
    assert (after.ledger_state, bytes(after.key_id)) == (LedgerState.CONFIRMED, BOB_WALLET.public_key.id)
    key = Participant.key(bytes(party.ledger_id))
    record = Participant.decode(embedded().read([key])[key] or b"")
    assert (record.public_key, record.custody) == (BOB_WALLET.public_key, KeyCustody.OWN)
    assert audit(DEFAULT) == []
    told = world.client("bob").get(f"{API}/commands/{encode_bytes(sent.id)}").json()
    assert (told["state"], told["kind"]) == ("confirmed", "RotateParticipantKey")


def test_the_next_rotation_is_signed_by_the_wallet_itself(world: World, bob: Party) -> None:
    client, new = world.client("bob"), SoftwareKey.generate(Algorithm.SECP256K1)
    unsigned = signed(rotation(bob, new))
    assert errors(send(client, unsigned)) == [
        ("SIGNATURE_COUNT", "The ledger's rule SIGNATURE_COUNT does not allow it.")
    ]
    assert errors(send(client, by_wallet(rotation(bob, new), ALICE_WALLET)))[0][0] == "WRONG_SIGNER"
    assert PartyKey.objects.filter(party=bob).count() == 2
    assert send(client, by_wallet(rotation(bob, new), BOB_WALLET)).status_code == 202
    drain(DEFAULT)
    assert bytes(bob.keys.get(ended_at=None).key_id) == new.public_key.id
    assert audit(DEFAULT) == []


def test_keys_that_are_not_taken(world: World, bob: Party) -> None:
    client, alice_party = world.client("alice"), world.market.party("alice")
    cases = (
        (KeyCustody.CUSTODIAL, ALICE_WALLET, "A key that comes from outside is kept by its owner."),
        (KeyCustody.OWN, BOB_WALLET, "This key was used before."),
    )
    for custody, key, message in cases:
        assert errors(send(client, signed(rotation(alice_party, key, custody)))) == [("declined", message)]
    off_curve = replace(rotation(alice_party, ALICE_WALLET), x=b"\x01" * 32)
    assert errors(send(client, signed(off_curve)))[0][0] == "BAD_KEY"
    MembershipFactory.make(user=world.users["bob"], party=world.market.utility, role=MemberRole.MEMBER)
    of_the_utility = signed(rotation(world.market.utility, ALICE_WALLET))
    text = "Readings that this party imported are checked against its first key: it cannot change."
    assert errors(send(world.client("bob"), of_the_utility)) == [("declined", text)]
    assert send(client, signed(rotation(alice_party, ALICE_WALLET))).status_code == 202
    other = signed(rotation(alice_party, SoftwareKey.generate()), nonce=2)
    assert errors(send(client, other)) == [("declined", "The key before this one still waits for the ledger.")]
    assert audit(DEFAULT) == []


def test_after_a_rejected_rotation_the_key_before_speaks_again(world: World) -> None:
    """The party was suspended between the question and the answer."""
    party = world.market.party("bob")
    send(world.client("bob"), signed(rotation(party, BOB_WALLET)))
    assert apply(signed(ChangeParticipantState(bytes(party.ledger_id), 2), nonce=9)) == [Code.APPLIED]
    drain(DEFAULT)
    [key] = party.keys.all()
    assert (key.custody, key.ended_at, key.is_confirmed) == (KeyCustody.CUSTODIAL, None, True)
    assert audit(DEFAULT) == []
    assert apply(signed(ChangeParticipantState(bytes(party.ledger_id), 1), nonce=10)) == [Code.APPLIED]
    assert send(world.client("bob"), signed(rotation(party, BOB_WALLET), nonce=3)).status_code == 202


def test_a_rotation_that_came_by_another_way_is_made_good_here(world: World, bob: Party) -> None:
    new = SoftwareKey.generate(Algorithm.SECP256K1)
    waiting = by_wallet(rotation(bob, SoftwareKey.generate()), BOB_WALLET, nonce=2)
    send(world.client("bob"), waiting)
    assert apply(by_wallet(rotation(bob, new), BOB_WALLET)) == [Code.APPLIED]
    drain(DEFAULT)
    assert [bytes(key.key_id) for key in bob.keys.filter(ended_at=None)] == [new.public_key.id]
    assert bob.keys.count() == 3
    assert audit(DEFAULT) == []


def test_the_same_key_asked_for_here_and_brought_by_another_way(world: World, bob: Party) -> None:
    new = SoftwareKey.generate(Algorithm.SECP256K1)
    send(world.client("bob"), by_wallet(rotation(bob, new), BOB_WALLET, nonce=2))
    faster = by_wallet(rotation(bob, new), BOB_WALLET)
    assert apply(faster) == [Code.APPLIED]
    drain(DEFAULT)
    current = bob.keys.get(ended_at=None)
    assert (bytes(current.command_id or b""), current.is_confirmed) == (faster.id, True)
    assert audit(DEFAULT) == []


def test_pages_no_longer_sign_for_who_keeps_the_key(world: World, alice: Party, bob: Party) -> None:
    text = "You keep your signing key yourself: sign with your wallet."
    form = {"energy_wh": "1", "point": world.bob_point.pk, "token": "0" * 64}
    page = world.client("bob").post(f"/offers/{world.offer.pk}/buy/", form)
    assert text in page.content.decode()
    for action, offer in (("publish", world.draft), ("withdraw", world.offer)):
        page = world.client("alice").post(f"/offers/{offer.pk}/{action}/", follow=True)
        assert text in page.content.decode()
    world.offer.refresh_from_db()
    assert (Purchase.objects.filter(offer=world.offer).exists(), world.offer.committed_wh) == (False, 0)
    world.draft.refresh_from_db()
    assert world.draft.status == OfferStatus.DRAFT


# Buying


def test_who_sends_a_purchase(world: World, bob: Party) -> None:
    sent = by_wallet(purchase(world), BOB_WALLET)
    assert by_everybody(world, lambda client: send(client, sent)) == everybody(403, 403, 202, 403, 403, 403)


def test_a_purchase_by_a_wallet_is_the_purchase_that_the_page_makes(world: World, bob: Party) -> None:
    client = world.client("bob")
    unsigned = {"kind": "CommitPurchase", "fields": members_of(purchase(world))}
    made = client.post(f"{API}/typed-data", unsigned, content_type="application/json").json()
    signature = BOB_WALLET.sign(decode_bytes(made["digest"]))
    key = encode_bytes(BOB_WALLET.public_key.id)
    body = {**made["command"], "signatures": [{"key": key, "signature": encode_bytes(signature)}]}
    before = balance(bob)
    answer = client.post(f"{API}/commands", body, content_type="application/json")
    assert (answer.status_code, answer.json()["id"]) == (202, made["id"])
    bought = Purchase.objects.get(ledger_id=BOUGHT)
    assert (bought.offer, bought.buyer, bought.point, bought.energy_wh, bought.price_micro, bought.ledger_state) == (
        world.offer,
        bob,
        world.bob_point,
        WH,
        PRICE,
        LedgerState.PENDING,
    )
    assert encode_bytes(bytes(bought.command_id or b"")) == made["id"]
    world.offer.refresh_from_db()
    assert (world.offer.committed_wh, balance(bob) - before) == (WH, NANO)
    drain(DEFAULT)
    bought.refresh_from_db()
    assert bought.is_confirmed
    assert client.get(answer["Location"]).json()["rule"] == "APPLIED"
    assert audit(DEFAULT) == []


@pytest.mark.parametrize("way", ["over REST", "by a transaction of its own"])
def test_what_a_wallet_bought_is_settled_billed_and_proven(world: World, alice: Party, bob: Party, way: str) -> None:
    """The seller's wallet put it on sale, the buyer's bought it; the invoice shows it at its price."""
    published, bought = (
        by_wallet(publication(world), ALICE_WALLET),
        by_wallet(purchase(world, offer=OFFERED, energy=1_500), BOB_WALLET),
    )
    if way == "over REST":
        assert send(world.client("alice"), published).status_code == 202
        drain(DEFAULT)
        assert send(world.client("bob"), bought).status_code == 202
    else:
        assert apply(published, bought) == [Code.APPLIED, Code.APPLIED]
    drain(DEFAULT)
    assert audit(DEFAULT) == []
    documents = settled_and_billed(world)
    made = Purchase.objects.get(ledger_id=BOUGHT)
    assert made.delivered_wh == 1_500
    for document in documents.values():
        verify(evidence_bundle(document), trust_anchors(DEFAULT))
    for name in ("bob invoice", "alice credit_note"):
        lines = load(evidence_bundle(documents[name])).document["lines"]
        [line] = [line for line in lines if line["price_micro"] == str(PRICE)]
        assert line["energy_wh"] == "1500"
    assert (balance_of(made), audit(DEFAULT)) == ([("purchase", 1_500 * PRICE)], [])


NOT_BUYABLE: dict[str, tuple[Changes, tuple[str, str]]] = {
    "alice's point": (lambda w: {"point": bytes(w.alice_point.ledger_id)}, ("declined", OWN_POINT)),
    "the outsider's point": (lambda w: {"point": bytes(w.elsewhere.ledger_id)}, ("declined", OWN_POINT)),
    "no point": (to(point=b"\x01" * 32), ("declined", OWN_POINT)),
    "a point that was vacant": (vacant, ("declined", NOT_YET_YOURS)),
    "a point that was another's": (
        moved,
        ("declined", NOT_YET_YOURS),
    ),
    "more than is left": (to(energy=3_001), ("declined", LEFT)),
    "more than a number": (to(energy=2**64 - 1), ("declined", LEFT)),
    "nothing": (to(energy=0), ("declined", LEFT)),
    "no offer": (to(offer=b"\x01" * 32), ("OFFER_UNKNOWN", "The ledger's rule OFFER_UNKNOWN does not allow it.")),
    "another declaration": (
        to(declaration=b"\x01" * 32),
        ("NOT_OF_THIS_RECORD", "The ledger's rule NOT_OF_THIS_RECORD does not allow it."),
    ),
    "a draft": (lambda w: {"offer": bytes(w.draft.ledger_id)}, ("declined", "This offer is not open.")),
    "a purchase that was made": (
        lambda w: {"purchase": bytes(w.purchase.ledger_id)},
        ("ALREADY_REGISTERED", "The ledger's rule ALREADY_REGISTERED does not allow it."),
    ),
}


@pytest.mark.parametrize("case", NOT_BUYABLE)
def test_a_purchase_that_breaks_a_rule_leaves_nothing(world: World, bob: Party, case: str) -> None:
    changes, said = NOT_BUYABLE[case]
    sent = by_wallet(purchase(world, **changes(world)), BOB_WALLET)
    counts = [Purchase.objects.count(), Command.objects.count(), Entry.objects.count()]
    assert errors(send(world.client("bob"), sent)) == [said]
    assert [Purchase.objects.count(), Command.objects.count(), Entry.objects.count()] == counts
    world.offer.refresh_from_db()
    assert world.offer.committed_wh == 0


def test_a_signature_of_somebody_else_buys_nothing(world: World, bob: Party) -> None:
    for wallet, rule in ((ALICE_WALLET, "WRONG_SIGNER"), (None, "BAD_SIGNATURE")):
        sent = by_wallet(purchase(world), wallet or BOB_WALLET)
        if wallet is None:
            # As a key kept by the platform signs, which a wallet does not.
            sent = signed(purchase(world), BOB_WALLET)
        assert errors(send(world.client("bob"), sent))[0][0] == rule
    assert not Purchase.objects.filter(ledger_id=BOUGHT).exists()


def test_a_purchase_sent_twice_is_made_once(world: World, bob: Party) -> None:
    client, sent = world.client("bob"), by_wallet(purchase(world), BOB_WALLET)
    answers = [send(client, sent), send(client, sent)]
    drain(DEFAULT)
    answers.append(send(client, sent))
    assert {answer.content for answer in answers} == {answers[0].content}
    again = by_wallet(purchase(world), BOB_WALLET, nonce=2)
    assert errors(send(client, again))[0][0] == "ALREADY_REGISTERED"
    world.offer.refresh_from_db()
    assert (world.offer.committed_wh, Purchase.objects.filter(offer=world.offer).count()) == (WH, 1)


def test_sending_a_purchase_costs_a_fixed_number_of_queries(world: World, bob: Party) -> None:
    client = world.client("bob")

    def cost(number: int) -> int:
        sent = by_wallet(purchase(world, purchase=bytes([number]) * 32, energy=100), BOB_WALLET, nonce=number)
        with CaptureQueriesContext(connection) as captured:
            assert send(client, sent).status_code == 202
        return len(captured)

    assert {cost(number) for number in range(1, 10)} == {30}


# Selling


def test_who_sends_an_offer_and_its_end(world: World, alice: Party) -> None:
    sent = by_wallet(publication(world), ALICE_WALLET)
    assert by_everybody(world, lambda client: send(client, sent)) == everybody(403, 202, 403, 403, 403, 403)
    drain(DEFAULT)
    ended = by_wallet(withdrawal(world), ALICE_WALLET, nonce=2)
    assert by_everybody(world, lambda client: send(client, ended)) == everybody(403, 202, 403, 403, 403, 403)
    drain(DEFAULT)
    world.offer.refresh_from_db()
    assert (world.offer.status, bytes(world.offer.closing_id or b"")) == (OfferStatus.WITHDRAWN, ended.id)
    assert audit(DEFAULT) == []


def test_an_offer_by_a_wallet_is_on_sale_for_the_neighbours(world: World, alice: Party) -> None:
    offered = world.declaration.offered_wh
    fields = publication(world)
    assert send(world.client("alice"), by_wallet(fields, ALICE_WALLET)).status_code == 202
    found = Offer.objects.get(ledger_id=OFFERED)
    assert (found.declaration, found.energy_wh, found.price_micro, found.status, found.ledger_state) == (
        world.declaration,
        2_000,
        PRICE,
        OfferStatus.OPEN,
        LedgerState.PENDING,
    )
    assert int(found.open_until.timestamp()) == fields.open_until
    assert Declaration.objects.get(pk=world.declaration.pk).offered_wh == offered + 2_000
    drain(DEFAULT)
    assert f"/offers/{found.pk}/" in world.client("bob").get("/offers/").content.decode()


def test_a_draft_of_the_page_is_published_as_it_was_signed(world: World, alice: Party) -> None:
    fields = publication(world, offer=bytes(world.draft.ledger_id), energy=700, price=150_000)
    assert send(world.client("alice"), by_wallet(fields, ALICE_WALLET)).status_code == 202
    drain(DEFAULT)
    draft = Offer.objects.get(pk=world.draft.pk)
    assert (draft.status, draft.energy_wh, draft.price_micro, draft.is_confirmed) == (
        OfferStatus.OPEN,
        700,
        150_000,
        True,
    )
    assert audit(DEFAULT) == []


NOT_SELLABLE: dict[str, tuple[Changes, tuple[str, str]]] = {
    "more than is there": (
        to(energy=9_001),
        ("declined", NOT_THERE),
    ),
    "nothing": (to(energy=0), ("declined", NOT_THERE)),
    "a price beyond all": (to(price=2**64 - 1), ("declined", "That is more than can be right.")),
    "for too long": (
        lambda w: {"open_until": int(timezone.now().timestamp()) + 15 * 86_400},
        ("declined", "An offer is open for 14 days at most."),
    ),
    "for ever": (to(open_until=2**64 - 1), ("declined", "An offer is open for 14 days at most.")),
    "until yesterday": (to(open_until=1), ("declined", "The offer has to stay open for some time.")),
    "no declaration": (
        to(declaration=b"\x01" * 32),
        ("DECLARATION_UNKNOWN", "The ledger's rule DECLARATION_UNKNOWN does not allow it."),
    ),
    "what is on sale": (
        lambda w: {"offer": bytes(w.offer.ledger_id)},
        ("declined", "This offer is no draft any more."),
    ),
}


@pytest.mark.parametrize("case", NOT_SELLABLE)
def test_an_offer_that_breaks_a_rule_leaves_nothing(world: World, alice: Party, case: str) -> None:
    changes, said = NOT_SELLABLE[case]
    counts = [Offer.objects.count(), Command.objects.count()]
    assert errors(send(world.client("alice"), by_wallet(publication(world, **changes(world)), ALICE_WALLET))) == [said]
    assert [Offer.objects.count(), Command.objects.count()] == counts
    assert Declaration.objects.get(pk=world.declaration.pk).offered_wh == world.declaration.offered_wh


def test_nobody_sells_or_ends_what_is_anothers(world: World, alice: Party, bob: Party) -> None:
    """Bob signs as himself, for what alice declared."""
    client, seller = world.client("bob"), bytes(bob.ledger_id)
    for fields in (publication(world, seller=seller), replace(withdrawal(world), seller=seller)):
        assert errors(send(client, by_wallet(fields, BOB_WALLET)))[0][0] == "NOT_THE_OWNER"
    assert not Offer.objects.filter(ledger_id=OFFERED).exists()


def test_a_day_that_is_settled_sells_nothing_more(world: World, alice: Party) -> None:
    ClosedDay.objects.create(area=world.market.area, day=OPEN)
    answer = send(world.client("alice"), by_wallet(publication(world), ALICE_WALLET))
    assert errors(answer) == [("declined", "This day is settled: nothing of it can be sold any more.")]


def test_staff_close_what_is_sold_out(world: World, bob: Party) -> None:
    sent = signed(CloseOffer(bytes(world.offer.ledger_id), bytes(world.declaration.ledger_id)))
    assert errors(send(world.client("clerk"), sent)) == [("STILL_OPEN", "The offer still sells.")]
    assert send(world.client("bob"), by_wallet(purchase(world, energy=3_000), BOB_WALLET)).status_code == 202
    drain(DEFAULT)
    assert by_everybody(world, lambda client: send(client, sent)) == everybody(403, 403, 403, 403, 202, 403)
    drain(DEFAULT)
    world.offer.refresh_from_db()
    assert world.offer.status == OfferStatus.CLOSED
    assert audit(DEFAULT) == []

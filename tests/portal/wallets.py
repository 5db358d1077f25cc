"""People with a wallet in the world of these tests, and what they sign."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone

from apps.accounting.models import Entry, Posting
from apps.accounts.choices import KeyCustody
from apps.accounts.models import Party
from apps.assets.services import add_metering_point, change_occupant
from apps.billing.models import Invoice
from apps.billing.services.invoices import bill_area
from apps.ledger.ledgers import DEFAULT
from apps.ledger.services.sweep import drain
from apps.offers.choices import OfferStatus
from apps.offers.models import Offer, Purchase
from apps.settlement.services.settle import settle_day
from evidence import commands
from evidence.commands import Fields
from evidence.commands.kinds import CommitPurchase, PublishOffer, RotateParticipantKey, WithdrawOffer
from evidence.keys import Algorithm, SoftwareKey
from ledger_adapters.contract import Code
from tests.factories import CustomerFactory
from tests.market import SINCE
from tests.portal.test_ledger_api import embedded, send, signed
from tests.portal.world import OPEN, PRICE, World

ALICE_WALLET, BOB_WALLET = (SoftwareKey.generate(Algorithm.SECP256K1) for _ in range(2))
BOUGHT = b"\x0b" * 32
OFFERED = b"\x0a" * 32
WH = 1_000
NANO = WH * PRICE

Changes = Callable[[World], dict[str, Any]]
NOT_YET_YOURS = "On the day of delivery this metering point was not yours yet."
NOT_THERE = "Choose an amount up to the surplus that is not offered yet."
LEFT = "Choose an amount up to what is left of this offer."
OWN_POINT = "Choose one of your metering points in the same market area."


@pytest.fixture
def alice(world: World) -> Party:
    """Signs with a wallet of her own."""
    return with_wallet(world, "alice", ALICE_WALLET)


@pytest.fixture
def bob(world: World) -> Party:
    """Signs with a wallet of his own."""
    return with_wallet(world, "bob", BOB_WALLET)


def with_wallet(world: World, name: str, wallet: SoftwareKey) -> Party:
    party = world.market.party(name)
    answer = send(world.client(name), signed(rotation(party, wallet), nonce=0))
    assert answer.status_code == 202, answer.content
    drain(DEFAULT)
    return party


def rotation(party: Party, key: SoftwareKey, custody: int = KeyCustody.OWN) -> RotateParticipantKey:
    public = key.public_key
    return RotateParticipantKey(bytes(party.ledger_id), public.algorithm, public.x, public.y, custody)


def by_wallet(fields: Fields, wallet: SoftwareKey, nonce: int = 1, **options: Any) -> commands.Command:
    command = commands.Command(embedded().genesis().market, nonce.to_bytes(32, "big"), fields, **options)
    digest = commands.wallet_digest(embedded().wallet_domain(), command)
    return replace(command, signatures=((wallet.public_key.id, wallet.sign(digest)),))


def purchase(world: World, **changes: Any) -> CommitPurchase:
    """Bob's, of a part of the open offer."""
    offer = world.offer
    fields = CommitPurchase(
        BOUGHT,
        bytes(offer.ledger_id),
        bytes(offer.declaration.ledger_id),
        bytes(world.bob_point.party.ledger_id),
        bytes(world.bob_point.ledger_id),
        WH,
    )
    return replace(fields, **changes)


def publication(world: World, **changes: Any) -> PublishOffer:
    """Alice's, of what is left of the open day."""
    declaration, until = world.declaration, int(timezone.now().timestamp()) + 3_600
    seller = bytes(declaration.seller.ledger_id)
    return replace(PublishOffer(OFFERED, bytes(declaration.ledger_id), seller, 2_000, PRICE, until), **changes)


def withdrawal(world: World, offer: Offer | None = None) -> WithdrawOffer:
    of = offer or world.offer
    return WithdrawOffer(
        bytes(of.ledger_id), bytes(world.declaration.ledger_id), bytes(world.declaration.seller.ledger_id)
    )


def apply(*sent: commands.Command) -> list[Code]:
    """Put commands on the ledger that this installation's outbox knows nothing of, and hear of them."""
    transaction = embedded().prepare([command.envelope.encode() for command in sent])
    embedded().submit(transaction)
    outcomes = embedded().outcome(transaction.id)
    assert outcomes is not None
    return [outcome.code for outcome in outcomes]


def errors(answer: Any) -> list[tuple[str, str]]:
    assert answer.status_code == 422, answer.content
    return [(error["rule"], error["message"]) for error in answer.json()["errors"]]


def balance(party: Party) -> int:
    return Posting.objects.filter(account__party=party).aggregate(nano=Sum("nano"))["nano"] or 0


def declined_because(captured: pytest.LogCaptureFixture) -> list[str]:
    found = [record.msg for record in captured.records if isinstance(record.msg, dict)]
    return [entry["reason"] for entry in found if entry["event"] == "command_not_adopted"]


def settled_and_billed(world: World) -> dict[str, Invoice]:
    """The open day's documents by their customer; the offer on it is withdrawn before."""
    for offer in Offer.objects.filter(declaration=world.declaration, status=OfferStatus.OPEN):
        send(world.client("alice"), by_wallet(withdrawal(world, offer), ALICE_WALLET, nonce=offer.pk + 100))
    drain(DEFAULT)
    settle_day(world.market.area, OPEN)
    drain(DEFAULT)
    documents = bill_area(world.market.area, OPEN, OPEN + dt.timedelta(days=1))
    drain(DEFAULT)
    return {f"{document.party.name} {document.kind}": Invoice.objects.get(pk=document.pk) for document in documents}


def balance_of(made: Purchase) -> list[tuple[str, int]]:
    """What was booked for a purchase, and what its buyer owes by that."""
    entries = Entry.objects.filter(reference=bytes(made.ledger_id)).order_by("pk")
    return [(e.kind, e.postings.get(account__party=made.buyer).nano) for e in entries]


def vacant(world: World) -> dict[str, Any]:
    """A point of bob's that was nobody's yet on the day of delivery."""
    party, since = world.bob_point.party, OPEN + dt.timedelta(days=1)
    point = add_metering_point(area=world.market.area, party=party, code="new-1", since=since)
    return {"point": bytes(point.ledger_id)}


def moved(world: World) -> dict[str, Any]:
    """Bob lives there now; on the day of delivery somebody else did."""
    before = CustomerFactory.make(utility=world.market.utility)
    point = add_metering_point(area=world.market.area, party=before, code="moved-1", since=SINCE)
    change_occupant(point, world.bob_point.party, OPEN + dt.timedelta(days=1))
    return {"point": bytes(point.ledger_id)}


def to(**changes: Any) -> Callable[[World], dict[str, Any]]:
    return lambda world: changes

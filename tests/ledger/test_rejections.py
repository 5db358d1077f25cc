"""A command rejected by the ledger after the database accepted it."""

import datetime as dt
import signal

import pytest
from django.db.models import Sum
from django.utils import timezone

from apps.accounting.models import Posting
from apps.accounts.models import Party
from apps.accounts.services.parties import register_party, signer_of
from apps.assets.models import Plant
from apps.assets.services import register_plant
from apps.ledger.choices import CommandState, LedgerState
from apps.ledger.consumers import Told
from apps.ledger.ledgers import DEFAULT
from apps.ledger.models import Command, Stream
from apps.ledger.services.listen import consume, listen
from apps.ledger.services.push import push
from apps.ledger.services.status import standing, status
from apps.ledger.services.sweep import drain
from apps.offers import services as offers
from apps.offers.consumer import CONSUMER
from apps.offers.models import Offer, Purchase
from evidence.commands import Command as LedgerCommand
from evidence.commands.kinds import CommitPurchase, RegisterParticipant
from ledger_adapters.contract import Code
from tests.ledger.faulty import FaultyLedger
from tests.ledger.support import (
    Workers,
    apply_directly,
    assert_once_each,
    end_leases,
    make_point,
    make_utility,
    on_ledger,
)
from tests.market import Market, import_day, make_market

pytestmark = pytest.mark.usefixtures("ledger")
DAY = dt.date(2026, 6, 1)
PRICE = 200_000
ELSEWHERE_NANO = 700 * PRICE  # what carol's purchase costs that others bring to the ledger


@pytest.fixture
def market(ledger: FaultyLedger) -> Market:
    market = make_market({"alice": 10_000, "bob": 0, "carol": 0, "dora": 0}, slot_minutes=60)
    import_day(market, DAY, {"alice": ([500] * 24, [0] * 8 + [1000] * 8 + [0] * 8)})
    return market


@pytest.fixture
def offer(market: Market) -> Offer:
    """1,000 Wh from Alice, open and confirmed."""
    declaration = offers.declare_surplus(market.plants["alice"], DAY)
    drain(DEFAULT)
    until = timezone.now() + dt.timedelta(hours=1)
    offer = offers.draft_offer(declaration=declaration, energy_wh=1000, price_micro=PRICE, open_until=until)
    offers.publish_offer(offer)
    drain(DEFAULT)
    return offer


def buy(market: Market, offer: Offer, name: str, energy_wh: int) -> Purchase:
    return offers.buy(offer=offer, buyer=market.party(name), point=market.points[name], energy_wh=energy_wh)


def buy_elsewhere(market: Market, offer: Offer, name: str, energy_wh: int) -> bytes:
    """A purchase that reaches the ledger past this installation's database."""
    party, point = market.party(name), market.points[name]
    declaration = bytes(offer.declaration.ledger_id)
    fields = CommitPurchase(
        b"\x99" * 32, bytes(offer.ledger_id), declaration, bytes(party.ledger_id), bytes(point.ledger_id), energy_wh
    )
    return apply_directly(fields, signer_of(party))


def balance(party: Party) -> int:
    return Posting.objects.filter(account__party=party).aggregate(nano=Sum("nano"))["nano"] or 0


def assert_reversed(market: Market, offer: Offer, purchase: Purchase, left: int) -> None:
    """The purchase shows why it was rejected, its energy is for sale again, and nothing is due for it."""
    purchase.refresh_from_db()
    offer.refresh_from_db()
    assert (purchase.ledger_state, purchase.ledger_code) == (LedgerState.REJECTED, Code.MORE_THAN_OFFERED)
    assert offer.remaining_wh == left
    assert balance(purchase.buyer) == 0
    postings = Posting.objects.filter(account__party=purchase.buyer).order_by("id").values_list("nano", flat=True)
    assert list(postings) == [purchase.amount_nano, -purchase.amount_nano]
    assert purchase.command_id is not None
    said = standing(bytes(purchase.command_id))
    assert said.state == CommandState.REJECTED
    assert said.reason == "Somebody else was faster: less energy is left than you asked for."


def test_a_purchase_that_lost_the_race_is_taken_back(market: Market, offer: Offer) -> None:
    purchase = buy(market, offer, "bob", 600)
    assert balance(purchase.buyer) == purchase.amount_nano
    buy_elsewhere(market, offer, "carol", 700)
    drain(DEFAULT)
    assert_reversed(market, offer, purchase, left=300)
    assert balance(market.party("alice")) == -ELSEWHERE_NANO
    assert (bytes(purchase.command_id or b""), Code.MORE_THAN_OFFERED) in on_ledger()


def test_a_rejected_purchase_parks_its_stream_until_it_is_compensated(market: Market, offer: Offer) -> None:
    rejected = buy(market, offer, "bob", 600)
    buy_elsewhere(market, offer, "carol", 700)
    push(DEFAULT)
    listen(DEFAULT)
    assert Stream.objects.get(parked_by__command_id=rejected.command_id)
    assert status(DEFAULT).parked == 1
    later = buy(market, offer, "dora", 200)
    push(DEFAULT)
    assert Command.objects.get(command_id=later.command_id).state == CommandState.QUEUED
    consume(DEFAULT)
    assert status(DEFAULT).parked == 0
    drain(DEFAULT)
    assert_reversed(market, offer, rejected, left=100)
    later.refresh_from_db()
    assert later.is_confirmed
    assert balance(market.party("alice")) == -later.amount_nano - ELSEWHERE_NANO


def test_purchases_behind_a_rejected_one_in_the_same_transaction_stand_for_themselves(
    market: Market, offer: Offer
) -> None:
    large, small = buy(market, offer, "bob", 600), buy(market, offer, "dora", 200)
    buy_elsewhere(market, offer, "carol", 700)
    drain(DEFAULT)
    assert_reversed(market, offer, large, left=100)
    small.refresh_from_db()
    assert small.is_confirmed
    assert status(DEFAULT).parked == 0


def test_killed_while_it_compensates_the_reversal_is_booked_once(
    market: Market, offer: Offer, workers: Workers
) -> None:
    purchase = buy(market, offer, "bob", 600)
    buy_elsewhere(market, offer, "carol", 700)
    assert workers.run("compensation") == -signal.SIGKILL
    purchase.refresh_from_db()
    assert purchase.ledger_state == LedgerState.PENDING
    assert balance(purchase.buyer) == purchase.amount_nano
    end_leases()
    drain(DEFAULT)
    assert_reversed(market, offer, purchase, left=300)


def test_a_consumer_that_fails_is_tried_again_and_keeps_nobody_waiting(
    market: Market, offer: Offer, monkeypatch: pytest.MonkeyPatch
) -> None:
    purchase = buy(market, offer, "bob", 600)
    buy_elsewhere(market, offer, "carol", 700)
    compensate = CONSUMER.rejected[CommitPurchase]

    def broken(told: Told) -> None:
        compensate(told)
        raise ValueError("a defect of ours")

    with monkeypatch.context() as patch:
        assert isinstance(CONSUMER.rejected, dict)
        patch.setitem(CONSUMER.rejected, CommitPurchase, broken)
        newcomer = register_party(name="Eve", utility=market.utility)
        drain(DEFAULT)
        newcomer.refresh_from_db()
        assert newcomer.is_confirmed
        assert balance(purchase.buyer) == purchase.amount_nano
        assert status(DEFAULT).parked == 1
    drain(DEFAULT)
    assert_reversed(market, offer, purchase, left=300)
    assert status(DEFAULT).parked == 0


def test_an_event_that_fails_leaves_what_was_heard_before_it(
    market: Market, offer: Offer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, lost = buy(market, offer, "dora", 200), buy(market, offer, "bob", 600)
    buy_elsewhere(market, offer, "carol", 700)

    def broken(told: Told) -> None:
        raise ValueError("a defect of ours")

    assert isinstance(CONSUMER.rejected, dict)
    monkeypatch.setitem(CONSUMER.rejected, CommitPurchase, broken)
    drain(DEFAULT)
    kept.refresh_from_db()
    lost.refresh_from_db()
    assert (kept.ledger_state, lost.ledger_state) == (LedgerState.CONFIRMED, LedgerState.PENDING)


def register_elsewhere(party: Party) -> None:
    """Somebody else registers the same pseudonym first."""
    command = Command.objects.get(command_id=party.command_id)
    fields = LedgerCommand.from_bytes(bytes(command.envelope)).fields
    assert isinstance(fields, RegisterParticipant)
    apply_directly(fields)


def test_a_rejected_registration_stays_parked_until_a_person_has_looked(ledger: FaultyLedger) -> None:
    party = register_party(name="Bob", utility=make_utility())
    register_elsewhere(party)
    drain(DEFAULT)
    drain(DEFAULT)
    party.refresh_from_db()
    assert (party.ledger_state, party.ledger_code) == (LedgerState.REJECTED, Code.ALREADY_REGISTERED)
    assert status(DEFAULT).parked == 1


def owner_with_plant(utility: Party | None = None) -> tuple[Party, Plant]:
    """Both are queued; the plant's registration names its owner's as its predecessor."""
    owner = register_party(name="Bob", utility=utility or make_utility())
    point = make_point(owner)
    return owner, register_plant(point=point, owner=owner, name="roof", power_w=5_000, since=dt.date(2026, 1, 1))


def test_a_command_waits_for_its_predecessor_in_another_stream(ledger: FaultyLedger) -> None:
    utility = make_utility()
    pairs = [owner_with_plant(utility) for _ in range(8)]
    ids = [bytes(thing.command_id or b"") for pair in pairs for thing in pair]
    drain(DEFAULT)
    assert_once_each(ids)
    order = [command for command, _ in on_ledger()]
    for owner, plant in pairs:
        assert order.index(bytes(owner.command_id or b"")) < order.index(bytes(plant.command_id or b""))
        plant.refresh_from_db()
        assert plant.is_confirmed
    assert {transaction.id for transaction in ledger.sent}


def test_a_command_is_not_even_sent_while_its_predecessor_is_on_its_way(ledger: FaultyLedger) -> None:
    owner, plant = owner_with_plant()
    before = [Command.objects.get(command_id=thing.command_id) for thing in (owner, plant)]
    assert before[0].stream_id != before[1].stream_id
    Stream.objects.filter(pk=before[0].stream_id).update(parked_by=before[0])
    push(DEFAULT)
    assert on_ledger() == []
    Stream.objects.update(parked_by=None)
    drain(DEFAULT)
    assert len(on_ledger()) == 2


def test_a_command_whose_predecessor_was_rejected_is_rejected_too(ledger: FaultyLedger) -> None:
    owner, plant = owner_with_plant()
    register_elsewhere(owner)
    drain(DEFAULT)
    owner.refresh_from_db()
    plant.refresh_from_db()
    assert owner.ledger_state == LedgerState.REJECTED
    assert (plant.ledger_state, plant.ledger_code) == (LedgerState.REJECTED, Code.PREDECESSOR_MISSING)


def test_what_the_contract_would_reject_is_refused_before_anything_is_written(market: Market, offer: Offer) -> None:
    from apps.ledger.exceptions import Refused

    buy_elsewhere(market, offer, "carol", 700)
    commands = Command.objects.count()
    with pytest.raises(Refused) as refused:
        buy(market, offer, "bob", 600)
    assert refused.value.code is Code.MORE_THAN_OFFERED
    offer.refresh_from_db()
    assert (Command.objects.count(), Purchase.objects.count(), offer.remaining_wh) == (commands, 0, 1000)
    assert not Posting.objects.exists()

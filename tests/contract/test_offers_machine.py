"""Offers under random people, energies and times: purchases never exceed an offer, nor offers what was declared."""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from evidence.commands import Command, Fields
from evidence.commands.kinds import CloseOffer, CommitPurchase, DeclareSurplus, PublishOffer, WithdrawOffer
from evidence.keys import SoftwareKey
from ledger_adapters.contract import Code
from ledger_adapters.contract.records import Declaration, Mode, Offer, OfferState, Purchase
from tests.vectors.market import (
    ALICE,
    AREA,
    BASIS,
    BOB,
    POINT,
    WORLD,
    Market,
    command,
    ident,
    p256,
    participant,
    plant,
    records,
)

DORA = p256("dora")
PEOPLE: dict[str, SoftwareKey] = {"alice": ALICE, "bob": BOB, "dora": DORA}

people = st.sampled_from(sorted(PEOPLE))
# The seller, or anybody: then it is somebody who must not.
strangers = st.one_of(st.none(), st.none(), people)
sellers = st.sampled_from(["alice", "bob"])
energies = st.sampled_from([3, 1, 5, 8, 12, 0])

# An offer's id and its declaration's.
Offered = tuple[bytes, bytes]


@dataclass
class Book:
    """What the test knows of an offer."""

    declaration: bytes
    energy: int
    sells_until: int
    sold: int = 0
    is_open: bool = True


class OffersMachine(RuleBasedStateMachine):
    declared = Bundle("declared")
    published = Bundle("published")
    sent = Bundle("sent")

    def __init__(self) -> None:
        super().__init__()
        more = records((participant(DORA), ident("dora")), (plant("bob"), ident("plant of bob")))
        self.market = Market({**WORLD, **more})
        self.count = 0
        self.sellers: dict[bytes, str] = {}
        self.energy: dict[bytes, int] = {}
        self.delivery: dict[bytes, int] = {}
        self.books: dict[bytes, Book] = {}
        self.outcomes: dict[bytes, int] = {}

    def new_id(self) -> bytes:
        self.count += 1
        return ident(f"machine {self.count}")

    def apply(self, one: Command) -> Code:
        before = dict(self.market.state)
        outcome = self.market.send(one).outcomes[0]
        if outcome.id in self.outcomes:
            assert (outcome.code, outcome.time) == (Code.ALREADY_APPLIED, self.outcomes[outcome.id])
        if outcome.code is Code.APPLIED:
            self.outcomes[outcome.id] = outcome.time
        else:
            assert self.market.state == before
        return outcome.code

    def say(self, fields: Fields, *signers: SoftwareKey) -> tuple[Command, bool]:
        self.count += 1
        one = command(fields, *signers, nonce=f"machine {self.count}")
        return one, self.apply(one) is Code.APPLIED

    @initialize(target=published)
    def first_offer(self) -> Offered:
        declaration = self.declared_by("alice", Mode.METERED, 12, -10)
        offer = self.published_on(declaration, "alice", 8, 60)
        self.commit((offer, declaration), "bob", 1)
        assert self.books[offer].sold == 1
        return offer, declaration

    @rule(
        target=declared,
        who=sellers,
        mode=st.sampled_from(Mode),
        energy=energies,
        start=st.sampled_from([-10, -9, 0, 1, 40]),
    )
    def declare(self, who: str, mode: Mode, energy: int, start: int) -> MultipleResults[bytes] | bytes:
        declaration = self.declared_by(who, mode, energy, start)
        return declaration if declaration in self.energy else multiple()

    def declared_by(self, who: str, mode: Mode, energy: int, start: int) -> bytes:
        declaration, start = self.new_id(), self.market.now + start
        roof = ident("plant" if who == "alice" else "plant of bob")
        fields = DeclareSurplus(declaration, AREA, roof, ident(who), mode, start, start + 10, energy, BASIS)
        if self.say(fields)[1]:
            self.sellers[declaration], self.energy[declaration] = who, energy
            if mode is Mode.FORECAST:
                self.delivery[declaration] = start
        return declaration

    @rule(target=published, declaration=declared, somebody=strangers, energy=energies, lasts=st.integers(0, 60))
    def publish(
        self, declaration: bytes, somebody: str | None, energy: int, lasts: int
    ) -> MultipleResults[Offered] | Offered:
        offer = self.published_on(declaration, somebody or self.sellers[declaration], energy, lasts)
        return (offer, declaration) if offer in self.books else multiple()

    def published_on(self, declaration: bytes, who: str, energy: int, lasts: int) -> bytes:
        offer = self.new_id()
        fields = PublishOffer(offer, declaration, ident(who), energy, 7, self.market.now + lasts)
        if self.say(fields, PEOPLE[who])[1]:
            assert self.sellers[declaration] == who
            last = min(fields.open_until, self.delivery.get(declaration, fields.open_until + 1) - 1)
            self.books[offer] = Book(declaration, energy, last)
        return offer

    @rule(target=sent, offer=published, who=people, energy=energies)
    def commit(self, offer: Offered, who: str, energy: int) -> Command:
        purchase = self.new_id()
        one, applied = self.say(CommitPurchase(purchase, *offer, ident(who), POINT, energy), PEOPLE[who])
        if applied:
            self.sell(one)
        return one

    def sell(self, one: Command) -> None:
        fields = one.fields
        assert isinstance(fields, CommitPurchase)
        book = self.books[fields.offer]
        assert self.outcomes[one.id] <= book.sells_until
        assert book.is_open and fields.buyer != ident(self.sellers[fields.declaration])
        book.sold += fields.energy
        expected = Purchase(fields.offer, fields.buyer, POINT, fields.energy, 7)
        assert self.market.state[Purchase.key(fields.purchase)] == expected.encode()

    @rule(one=sent)
    def send_again(self, one: Command) -> None:
        if self.apply(one) is Code.APPLIED:
            self.sell(one)

    @rule(offer=published, somebody=strangers)
    def withdraw(self, offer: Offered, somebody: str | None) -> None:
        who = somebody or self.sellers[offer[1]]
        if self.say(WithdrawOffer(*offer, ident(who)), PEOPLE[who])[1]:
            assert self.books[offer[0]].is_open and self.sellers[offer[1]] == who
            self.books[offer[0]].is_open = False

    @rule(offer=published)
    def close(self, offer: Offered) -> None:
        if self.say(CloseOffer(*offer))[1]:
            assert self.books[offer[0]].is_open
            self.books[offer[0]].is_open = False

    @rule(offer=published, declaration=declared, who=people)
    def mix_up_declarations(self, offer: Offered, declaration: bytes, who: str) -> None:
        if declaration != offer[1]:
            purchase = CommitPurchase(self.new_id(), offer[0], declaration, ident(who), POINT, 1)
            assert not self.say(purchase, PEOPLE[who])[1]
            assert not self.say(WithdrawOffer(offer[0], declaration, ident(who)), PEOPLE[who])[1]
            assert not self.say(CloseOffer(offer[0], declaration))[1]

    @rule(seconds=st.integers(-10, 30))
    def time_passes(self, seconds: int) -> None:
        self.market.now += seconds

    @invariant()
    def energy_is_sold_once(self) -> None:
        offered: dict[bytes, int] = dict.fromkeys(self.energy, 0)
        for offer, book in self.books.items():
            stored = Offer.decode(self.market.state[Offer.key(offer)])
            assert stored.committed == book.sold <= book.energy == stored.energy
            assert (stored.state == OfferState.OPEN) is book.is_open
            offered[book.declaration] += book.energy if book.is_open else book.sold
        for declaration, energy in self.energy.items():
            record = Declaration.decode(self.market.state[Declaration.key(declaration)])
            assert record.offered == offered[declaration] <= energy == record.energy


TestOffers = OffersMachine.TestCase

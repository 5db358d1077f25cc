"""Two settled days and an open one: alice has a roof and sells to bob; an outsider is at another utility."""

import datetime as dt
from dataclasses import dataclass, field

from django.contrib.auth.models import AnonymousUser
from django.test import Client
from django.utils import timezone

from apps.accounts.choices import MemberRole, MemberState
from apps.accounts.models import Membership, User
from apps.assets.models import MeteringPoint, Plant
from apps.billing.models import DocumentKind, Invoice
from apps.billing.services.invoices import bill_area
from apps.ledger.ledgers import DEFAULT
from apps.ledger.services.sweep import drain
from apps.metering.choices import AlarmKind
from apps.metering.models import Alarm, EnrolmentCode, Measurement, Term, VirtualPoint
from apps.metering.services.devices import register_device
from apps.metering.services.enrolment import make_code
from apps.offers import services as offers
from apps.offers.models import Declaration, Offer, Purchase
from apps.settlement.services.settle import settle_day
from evidence.keys import SoftwareKey
from evidence.readings import Register
from tests.conftest import signed_in
from tests.factories import MembershipFactory, PlantFactory, PointFactory, UserFactory
from tests.market import Market, import_day, make_market

FIRST = dt.date(2026, 6, 1)
SECOND = FIRST + dt.timedelta(days=1)
OPEN = FIRST + dt.timedelta(days=2)
PRICE = 182_500
SUN = [0] * 8 + [2_000] * 8 + [0] * 8
PEOPLE = ("guest", "alice", "bob", "outsider", "clerk", "auditor")


@dataclass
class World:
    market: Market
    users: dict[str, User]
    offer: Offer  # alice's, open, on the day that is not settled
    draft: Offer  # alice's
    purchase: Purchase  # bob's, of the first day
    invoice: Invoice  # bob's
    asked: Membership  # whether a friend may act for alice's household
    enrolment: EnrolmentCode  # of a new box, made by the clerk; nobody has used it
    alarm: Alarm  # of alice's box
    elsewhere: MeteringPoint  # the outsider's
    elsewhere_plant: Plant
    measurement: Measurement  # of alice's point, by her box
    virtual: VirtualPoint  # alice's consumption less her generation
    clients: dict[str, Client] = field(default_factory=dict)

    @property
    def declaration(self) -> Declaration:
        return self.offer.declaration

    @property
    def alice_point(self) -> MeteringPoint:
        return self.market.points["alice"]

    @property
    def bob_point(self) -> MeteringPoint:
        return self.market.points["bob"]

    def client(self, name: str) -> Client:
        """A new client, so that no cookie of another test is left in it."""
        return Client() if name == "guest" else signed_in(self.users[name])

    def person(self, name: str) -> User | AnonymousUser:
        return AnonymousUser() if name == "guest" else self.users[name]


def make_world() -> World:
    market = make_market({"alice": 10_000, "bob": 0}, slot_minutes=60)
    users = {name: UserFactory.make(email=f"{name}@example.org", name=name.capitalize()) for name in PEOPLE[1:]}
    for name in ("alice", "bob"):
        MembershipFactory.make(user=users[name], party=market.party(name))
    MembershipFactory.make(user=users["clerk"], party=market.utility, role=MemberRole.STAFF)
    MembershipFactory.make(user=users["auditor"], party=market.utility, role=MemberRole.AUDITOR)
    User.objects.filter(pk=users["clerk"].pk).update(is_staff=True)
    asked = MembershipFactory.make(party=market.party("alice"), state=MemberState.INVITED)
    elsewhere = PointFactory.make(code="elsewhere-1")
    plant = PlantFactory.make(point=elsewhere)
    MembershipFactory.make(user=users["outsider"], party=elsewhere.party)
    purchase = _settled_day(market, FIRST)
    _settled_day(market, SECOND)
    bill_area(market.area, FIRST, SECOND + dt.timedelta(days=1))
    drain(DEFAULT)
    declaration = _declared(market, OPEN)
    offer = _offered(declaration, 3_000)
    draft = offers.draft_offer(
        declaration=declaration, energy_wh=1_000, price_micro=PRICE, open_until=timezone.now() + dt.timedelta(days=1)
    )
    invoice = Invoice.objects.get(kind=DocumentKind.INVOICE, party=market.party("bob"))
    key, points = SoftwareKey.generate().public_key, [market.points["alice"]]
    box = register_device(area=market.area, owner=market.party("alice"), name="Box", key=key, points=points)
    drain(DEFAULT)
    measurement = Measurement.objects.get(device=box)
    virtual = _balance(market)
    enrolment = make_code(area=market.area, name="new box", by=users["clerk"])
    alarm = Alarm.objects.create(device=box, kind=AlarmKind.SILENCE, values={"minutes": 120}, opened_at=timezone.now())
    return World(
        market, users, offer, draft, purchase, invoice, asked, enrolment, alarm, elsewhere, plant, measurement, virtual
    )


def _balance(market: Market) -> VirtualPoint:
    alice = market.points["alice"]
    virtual = VirtualPoint.objects.create(area=market.area, party=alice.party, code="V-1", name="Balance")
    for register, sign in ((Register.CONSUMPTION, 1), (Register.GENERATION, -1)):
        Term.objects.create(
            of=virtual,
            register=Register.CONSUMPTION,
            sign=sign,
            point=alice,
            source_register=register,
            since=FIRST,
        )
    return virtual


def _declared(market: Market, day: dt.date) -> Declaration:
    import_day(market, day, {"alice": ([500] * 24, SUN), "bob": ([400] * 24, None)})
    declaration = offers.declare_surplus(market.plants["alice"], day)
    drain(DEFAULT)
    return Declaration.objects.select_related("area", "plant__point", "seller").get(pk=declaration.pk)


def _offered(declaration: Declaration, energy_wh: int) -> Offer:
    until = timezone.now() + dt.timedelta(days=1)
    offer = offers.draft_offer(declaration=declaration, energy_wh=energy_wh, price_micro=PRICE, open_until=until)
    offers.publish_offer(offer)
    drain(DEFAULT)
    offer.refresh_from_db()
    return offer


def _settled_day(market: Market, day: dt.date) -> Purchase:
    offer = _offered(_declared(market, day), 3_000)
    bob = market.points["bob"]
    purchase = offers.buy(offer=offer, buyer=bob.party, point=bob, energy_wh=2_500)
    drain(DEFAULT)
    offers.withdraw_offer(offer)
    drain(DEFAULT)
    settle_day(market.area, day)
    drain(DEFAULT)
    purchase.refresh_from_db()
    return purchase

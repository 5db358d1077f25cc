# mypy: disable-error-code="no-untyped-call"
# factory_boy says that it is typed, but its declarations are not.
"""Objects for tests that look at rows rather than at services: confirmed on the ledger unless told otherwise.

What goes through services (a market with readings, offers and settlement) is made by `tests.market`.
"""

import datetime as dt
from typing import Any, TypeVar

from django.db.models import Model
from django.utils import timezone
from factory.declarations import LazyAttribute, LazyFunction, SelfAttribute, Sequence, SubFactory
from factory.django import DjangoModelFactory

from apps.accounts.choices import MemberRole, MemberState, PartyKind, PartyRole
from apps.accounts.models import Membership, Party, User
from apps.assets.models import MarketArea, MeteringPoint, Plant
from apps.billing.models import DocumentKind, Invoice, Series
from apps.ledger.choices import LedgerState
from apps.metering.models import Device
from apps.offers.choices import OfferStatus
from apps.offers.models import Declaration, Offer, Purchase
from apps.supply.models import FeedInContract, SupplyContract
from apps.tariffs.models import Price, Tariff, TariffKind, VatRate
from market_math.slots import day_bounds

SINCE = dt.date(2020, 1, 1)
DAY = dt.date(2026, 6, 1)


M = TypeVar("M", bound=Model)


class ModelFactory(DjangoModelFactory[M]):
    class Meta:
        abstract = True

    @classmethod
    def make(cls, **values: Any) -> M:
        """Store a row; `values` as for any factory, those of related rows with a double underscore."""
        made: M = cls.create(**values)
        return made


class UserFactory(ModelFactory[User]):
    class Meta:
        model = User
        skip_postgeneration_save = True

    email = Sequence(lambda n: f"person-{n}@example.org")
    name = Sequence(lambda n: f"Person {n}")

    @classmethod
    def _create(cls, model_class: type[User], *args: Any, **kwargs: Any) -> User:
        return model_class.objects.create_user(*args, **{"password": "a long password", **kwargs})


class UtilityFactory(ModelFactory[Party]):
    """On a ledger of its own that `LEDGERS` does not have."""

    class Meta:
        model = Party

    ledger = Sequence(lambda n: f"utility-{n}")
    name = Sequence(lambda n: f"Utility {n}")
    kind = PartyKind.ORGANISATION
    role = PartyRole.UTILITY
    ledger_state = LedgerState.CONFIRMED


class CustomerFactory(ModelFactory[Party]):
    class Meta:
        model = Party

    name = Sequence(lambda n: f"Customer {n}")
    utility = SubFactory(UtilityFactory)
    ledger = SelfAttribute("utility.ledger")
    ledger_state = LedgerState.CONFIRMED


class MembershipFactory(ModelFactory[Membership]):
    class Meta:
        model = Membership

    user = SubFactory(UserFactory)
    party = SubFactory(CustomerFactory)
    role = MemberRole.MEMBER
    state = MemberState.CONFIRMED


class AreaFactory(ModelFactory[MarketArea]):
    class Meta:
        model = MarketArea

    utility = SubFactory(UtilityFactory)
    name = Sequence(lambda n: f"Area {n}")


class PointFactory(ModelFactory[MeteringPoint]):
    """Its area is one of the customer's utility."""

    class Meta:
        model = MeteringPoint

    area = SubFactory(AreaFactory)
    party = SubFactory(CustomerFactory, utility=SelfAttribute("..area.utility"))
    code = Sequence(lambda n: f"P-{n:04}")
    city = "Lindenau"


class PlantFactory(ModelFactory[Plant]):
    class Meta:
        model = Plant

    point = SubFactory(PointFactory)
    area = SelfAttribute("point.area")
    owner = SelfAttribute("point.party")
    name = Sequence(lambda n: f"Roof {n}")
    power_w = 9_900
    since = SINCE
    ledger_state = LedgerState.CONFIRMED


class DeviceFactory(ModelFactory[Device]):
    class Meta:
        model = Device

    area = SubFactory(AreaFactory)
    owner = SubFactory(CustomerFactory, utility=SelfAttribute("..area.utility"))
    name = Sequence(lambda n: f"Meter {n}")
    ledger_state = LedgerState.CONFIRMED


class TariffFactory(ModelFactory[Tariff]):
    class Meta:
        model = Tariff

    area = SubFactory(AreaFactory)
    kind = TariffKind.SUPPLY
    name = Sequence(lambda n: f"Tariff {n}")


class PriceFactory(ModelFactory[Price]):
    class Meta:
        model = Price

    tariff = SubFactory(TariffFactory)
    since = SINCE
    micro_per_kwh = 320_000


class VatRateFactory(ModelFactory[VatRate]):
    class Meta:
        model = VatRate

    area = SubFactory(AreaFactory)
    since = SINCE
    ppm = 190_000


class SupplyContractFactory(ModelFactory[SupplyContract]):
    class Meta:
        model = SupplyContract

    point = SubFactory(PointFactory)
    tariff = SubFactory(TariffFactory, area=SelfAttribute("..point.area"))
    since = SINCE


class FeedInContractFactory(ModelFactory[FeedInContract]):
    class Meta:
        model = FeedInContract

    plant = SubFactory(PlantFactory)
    tariff = SubFactory(TariffFactory, area=SelfAttribute("..plant.area"), kind=TariffKind.FEED_IN)
    since = SINCE


class DeclarationFactory(ModelFactory[Declaration]):
    """12 kWh of a day."""

    class Meta:
        model = Declaration

    plant = SubFactory(PlantFactory)
    area = SelfAttribute("plant.area")
    seller = SelfAttribute("plant.owner")
    day = DAY
    start = LazyAttribute(lambda o: day_bounds(o.day, o.area.zone)[0])
    end = LazyAttribute(lambda o: day_bounds(o.day, o.area.zone)[1])
    energy_wh = 12_000
    ledger_state = LedgerState.CONFIRMED


class OfferFactory(ModelFactory[Offer]):
    """An open offer of 4 kWh at 18.25 ct."""

    class Meta:
        model = Offer

    declaration = SubFactory(DeclarationFactory, offered_wh=SelfAttribute("..energy_wh"))
    energy_wh = 4_000
    price_micro = 182_500
    open_until = LazyFunction(lambda: timezone.now() + dt.timedelta(days=3))
    published_at = LazyFunction(timezone.now)
    status = OfferStatus.OPEN
    ledger_state = LedgerState.CONFIRMED


class PurchaseFactory(ModelFactory[Purchase]):
    class Meta:
        model = Purchase

    offer = SubFactory(OfferFactory)
    point = SubFactory(PointFactory, area=SelfAttribute("..offer.declaration.area"))
    buyer = SelfAttribute("point.party")
    energy_wh = 1_000
    price_micro = SelfAttribute("offer.price_micro")
    ledger_state = LedgerState.CONFIRMED


class SeriesFactory(ModelFactory[Series]):
    class Meta:
        model = Series
        django_get_or_create = ("issuer", "prefix")

    issuer = SubFactory(UtilityFactory)
    prefix = "R-"


class InvoiceFactory(ModelFactory[Invoice]):
    """A row without a document that could be verified: for lists."""

    class Meta:
        model = Invoice

    point = SubFactory(PointFactory)
    area = SelfAttribute("point.area")
    party = SelfAttribute("point.party")
    series = SubFactory(SeriesFactory, issuer=SelfAttribute("..area.utility"))
    number = Sequence(lambda n: n + 1)
    kind = DocumentKind.INVOICE
    start = DAY
    end = DAY + dt.timedelta(days=1)
    currency = "EUR"
    net_minor = 1000
    vat_minor = 190
    total_minor = 1190
    document = b"{}"
    pdf = b"%PDF-"
    issued_at = LazyFunction(timezone.now)
    ledger_state = LedgerState.CONFIRMED

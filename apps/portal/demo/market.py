"""Generates the demonstration's market through the services that a utility uses."""

import datetime as dt
import secrets
from collections.abc import Mapping
from pathlib import Path

from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission
from django.db import transaction

from apps.accounts.choices import MemberRole, MemberState, PartyRole
from apps.accounts.models import Membership, Party, User
from apps.accounts.services.parties import register_party
from apps.assets.models import MarketArea, MeteringPoint
from apps.assets.services import add_metering_point, register_plant
from apps.metering.services.devices import register_device
from apps.portal.demo.exceptions import DemoError
from apps.portal.demo.files import write_private
from apps.portal.demo.street import (
    AREA,
    AUDITOR,
    CITY,
    CLERK,
    COUNTRY,
    CURRENCY,
    FEED_IN_PRICE,
    HOMES,
    POSTAL_CODE,
    SUPPLY_PRICE,
    TIME_ZONE,
    UTILITY,
    VAT_PPM,
    Home,
)
from apps.supply.models import FeedInContract, SupplyContract
from apps.tariffs.models import Price, Tariff, TariffKind, VatRate
from evidence.keys import PublicKey

SINCE = dt.date(2020, 1, 1)
# Without characters that look alike.
CHARACTERS = "abcdefghjkmnpqrstuvwxyz23456789"

CLERK_SEES = "accounts assets metering tariffs supply offers accounting settlement billing".split()


def find_market() -> MarketArea | None:
    """The market of an earlier demonstration. Raises `DemoError` when there is another one instead."""
    area = MarketArea.objects.select_related("utility").filter(utility__name=UTILITY, name=AREA).first()
    if area is None and MarketArea.objects.exists():
        raise DemoError(
            "This database holds a market that no demonstration made; it is left alone. For a demonstration beside it,"
            " name another folder in ENERGYMARKET_DATA_DIR and unset DATABASE_URL."
        )
    return area


@transaction.atomic
def make_market(device_keys: Mapping[int, PublicKey], password: str) -> MarketArea:
    """Make everything at once, or nothing. `device_keys` by box; the same password for all logins."""
    utility = register_party(
        name=UTILITY,
        role=PartyRole.UTILITY,
        street="Am Umspannwerk 1",
        postal_code=POSTAL_CODE,
        city=CITY,
        country=COUNTRY,
        tax_id="DE999999999",
    )
    area = MarketArea.objects.create(utility=utility, name=AREA, time_zone=TIME_ZONE, currency=CURRENCY)
    supply = _tariff(area, TariffKind.SUPPLY, "Lindenfurt Basis", SUPPLY_PRICE)
    feed_in = _tariff(area, TariffKind.FEED_IN, "Lindenfurt Solar", FEED_IN_PRICE)
    VatRate.objects.create(area=area, since=SINCE, ppm=VAT_PPM)
    points: dict[int, list[MeteringPoint]] = {}
    people: dict[str, Party] = {}
    for home in HOMES:
        party = register_party(
            name=home.person,
            utility=utility,
            street=home.street,
            postal_code=POSTAL_CODE,
            city=CITY,
            country=COUNTRY,
        )
        if home.email:
            people[home.email] = party
        points.setdefault(home.box, []).append(_connect(home, area, party, supply, feed_in))
    for box, key in device_keys.items():
        owner = points[box][0].party
        register_device(area=area, owner=owner, name=box_name(box), key=key, points=points[box])
    _make_logins(utility, people, password)
    return area


def box_name(box: int) -> str:
    return f"Meter box {box}"


def _tariff(area: MarketArea, kind: str, name: str, price: int) -> Tariff:
    tariff = Tariff.objects.create(area=area, kind=kind, name=name)
    Price.objects.create(tariff=tariff, since=SINCE, micro_per_kwh=price)
    return tariff


def _connect(home: Home, area: MarketArea, party: Party, supply: Tariff, feed_in: Tariff) -> MeteringPoint:
    """A home's metering point with its roof and its contracts."""
    point = add_metering_point(area=area, party=party, code=home.code, since=SINCE, name=home.name, city=CITY)
    SupplyContract.objects.create(point=point, tariff=supply, since=SINCE)
    if home.roof_w:
        name = f"Roof of {home.street}"
        plant = register_plant(point=point, owner=party, name=name, power_w=home.roof_w, since=SINCE)
        FeedInContract.objects.create(plant=plant, tariff=feed_in, since=SINCE)
    return point


def _make_logins(utility: Party, people: Mapping[str, Party], password: str) -> None:
    # Hashed once for all: it takes half a second on purpose.
    hashed = make_password(password)
    for email, party in people.items():
        _login(email, party.name, hashed, party, MemberRole.MEMBER)
    clerk = _login(CLERK, "Clerk of the utility", hashed, utility, MemberRole.STAFF, is_staff=True)
    seen = Permission.objects.filter(codename__startswith="view_", content_type__app_label__in=CLERK_SEES)
    clerk.user_permissions.set(seen)
    _login(AUDITOR, "Auditor", hashed, utility, MemberRole.AUDITOR)


def _login(email: str, name: str, hashed: str, party: Party, role: str, *, is_staff: bool = False) -> User:
    user = User.objects.create_user(email, name=name, is_staff=is_staff)
    user.password = hashed
    user.save(update_fields=["password"])
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    Membership.objects.create(user=user, party=party, role=role, state=MemberState.CONFIRMED)
    return user


def login_password(folder: Path) -> str:
    """The password of all demonstration logins: random, made once per installation, readable by its owner only."""
    path = folder / "password"
    if not path.exists():
        groups = ("".join(secrets.choice(CHARACTERS) for _ in range(4)) for _ in range(4))
        write_private(path, "-".join(groups) + "\n")
    return path.read_text(encoding="ascii").strip()

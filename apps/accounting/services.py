"""Book entries. Every service that owes somebody something calls `book` in its own transaction."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from apps.accounting.models import Account, AccountKind, Entry, Posting
from apps.accounts.models import Party
from apps.assets.models import MarketArea


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a booking: a debit of `nano` on a party's account, a credit when it is negative."""

    party: Party
    nano: int
    kind: str = AccountKind.CUSTOMER


@transaction.atomic
def book(
    *,
    area: MarketArea,
    kind: str,
    reference: bytes,
    day: dt.date,
    sides: Sequence[Side],
    energy_wh: int = 0,
    version: int = 0,
) -> Entry | None:
    """Book an entry whose sides sum to zero; nothing for one that moves no money.

    Raises `ValueError` when they do not, `IntegrityError` when the same thing was booked before.
    """
    if sum(side.nano for side in sides) != 0:
        raise ValueError(f"the sides of a booking sum to zero: {[side.nano for side in sides]}")
    moving = [side for side in sides if side.nano]
    if not moving:
        return None
    entry = Entry.objects.create(
        area=area, kind=kind, reference=reference, day=day, energy_wh=energy_wh, version=version
    )
    Posting.objects.bulk_create(
        Posting(entry=entry, account=account_of(area, side.party, side.kind), nano=side.nano) for side in moving
    )
    return entry


def account_of(area: MarketArea, party: Party, kind: str) -> Account:
    account, _ = Account.objects.get_or_create(area=area, party=party, kind=kind)
    return account

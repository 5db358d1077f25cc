"""What is due, between whom."""

import datetime as dt
from dataclasses import dataclass

from apps.accounting.models import AccountKind, Entry, Posting
from apps.accounts.permissions import Action, Viewer


@dataclass(frozen=True, slots=True)
class Due:
    """An amount in nano-currency that a party owes (positive) or is owed (negative)."""

    entry: Entry
    amount_nano: int
    energy_wh: int
    currency: str
    counterparty_text: str
    day: dt.date


def dues(viewer: Viewer) -> list[Due]:
    """What the viewer's own parties owe and are owed, newest first."""
    postings = Posting.objects.filter(account__party__in=viewer.own, account__kind=AccountKind.CUSTOMER)
    visible = viewer.visible(Action.VIEW_DUES, postings, "account__area__utility_id", "account__party_id")
    rows = visible.select_related("entry__area").prefetch_related("entry__postings__account__party")
    return [_due(posting) for posting in rows.order_by("-entry_id", "id")]


def _due(posting: Posting) -> Due:
    entry = posting.entry
    others = {other.account.party.name for other in entry.postings.all() if other.account_id != posting.account_id}
    return Due(entry, posting.nano, entry.energy_wh, entry.area.currency, ", ".join(sorted(others)), entry.day)

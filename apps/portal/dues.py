"""What is due, as a table."""

from collections.abc import Iterable, Sequence

from django.utils.text import capfirst
from django.utils.translation import gettext as _

from apps.accounting.models import EntryKind
from apps.accounting.selectors import Due
from apps.accounts.permissions import Action, Viewer
from apps.offers.models import Purchase
from apps.portal.links import link, purchase_url
from apps.web.components import Column, Table
from apps.web.formatting import kwh_number, local_date, money


def due_table(items: Sequence[Due], viewer: Viewer) -> Table | None:
    """None when nothing is due. Two queries at most, however long the list."""
    if not items:
        return None
    pages = _purchase_pages(items, viewer)
    columns = (
        Column(_("For")),
        Column(_("With")),
        Column(_("Day")),
        Column(_("kWh"), numeric=True),
        Column(_("You pay"), numeric=True),
        Column(_("You receive"), numeric=True),
    )
    rows = tuple(
        (
            _linked(due, pages.get(bytes(due.entry.reference))),
            due.counterparty_text,
            local_date(due.day),
            kwh_number(due.energy_wh, fixed=True) if due.energy_wh else "",
            money(due.amount_nano, due.currency) if due.amount_nano > 0 else "",
            money(-due.amount_nano, due.currency) if due.amount_nano < 0 else "",
        )
        for due in items
    )
    return Table(_("Amounts not yet paid"), columns, rows)


def balances(items: Iterable[Due]) -> dict[str, int]:
    """Per currency, nano-currency over all dues: positive is owed by the viewer."""
    sums: dict[str, int] = {}
    for due in items:
        sums[due.currency] = sums.get(due.currency, 0) + due.amount_nano
    return sums


def balance_sentence(items: Sequence[Due]) -> str:
    """What it comes to, once debts and claims are set against each other."""
    words = []
    for currency, nano in sorted(balances(items).items()):
        if nano > 0:
            words.append(_("Together you owe %(amount)s.") % {"amount": money(nano, currency)})
        elif nano < 0:
            words.append(_("Together you are owed %(amount)s.") % {"amount": money(-nano, currency)})
        else:
            words.append(_("What you owe and what you are owed is equal."))
    return " ".join(words)


def _purchase_pages(items: Sequence[Due], viewer: Viewer) -> dict[bytes, str]:
    kinds = (EntryKind.PURCHASE, EntryKind.PURCHASE_REVERSED, EntryKind.UNDELIVERED)
    references = [bytes(due.entry.reference) for due in items if due.entry.kind in kinds]
    purchases = viewer.visible(
        Action.VIEW_DUES,
        Purchase.objects.filter(ledger_id__in=references),
        "offer__declaration__area__utility",
        "buyer",
        "offer__declaration__seller",
    )
    return {bytes(ledger_id): purchase_url(pk) for pk, ledger_id in purchases.values_list("pk", "ledger_id")}


def _linked(due: Due, url: str | None) -> str:
    words = _words(due)
    return link(url, words) if url else words


def _words(due: Due) -> str:
    match due.entry.kind:
        case EntryKind.PURCHASE if due.amount_nano < 0:
            return _("Sold to a neighbour")
        case EntryKind.PURCHASE:
            return _("Bought from a neighbour")
        case _:
            return capfirst(str(due.entry.get_kind_display()))

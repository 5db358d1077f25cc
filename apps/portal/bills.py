"""Bills as pictures and tables: the one of the running month, and those that were issued."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from django.db import connection
from django.db.models import Sum
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from apps.assets.models import MarketArea, MeteringPoint
from apps.assets.partitions import bucket_of
from apps.billing.documents import read, read_lines
from apps.billing.models import DocumentKind, Invoice
from apps.offers.models import Purchase
from apps.settlement.selectors import current_settlements
from apps.supply.selectors import feed_in_contracts
from apps.tariffs.models import VatRate
from apps.web.components import Column, Table
from apps.web.formatting import EN_DASH, kwh_number, local_date, money_minor, percent, unit_price
from apps.web.pictures import BillBar, BillPart, Hue
from evidence.invoice import Figures, Line, VatGroup, compute
from evidence.settlement import Scheme
from market_math.slots import day_bounds

Energy = Counter[tuple[Scheme, int]]

BOUGHT = (Scheme.PURCHASE, Scheme.SUPPLY)
SOLD = (Scheme.PURCHASE, Scheme.FEED_IN)

_TAKEN = """
SELECT point, scheme, price, sum(allocated)::bigint FROM settlement_allocation
WHERE area = %s AND bucket BETWEEN %s AND %s AND settlement = ANY(%s) AND point = ANY(%s)
GROUP BY point, scheme, price
"""


def bill_so_far(
    area: MarketArea, points: Sequence[MeteringPoint], day: dt.date, first: Mapping[int, dt.date]
) -> BillBar | None:
    """From the first of the month to `day`, computed as the invoices will be; None without a settled day.

    `first`: the day from which a metering point is the customer's, by point.
    """
    start, end = day.replace(day=1), day + dt.timedelta(days=1)
    settlements = [settlement.pk for settlement in current_settlements(area.pk, start, end).values()]
    if not settlements:
        return None
    taken: dict[int, Energy] = {}
    sold: dict[int, Energy] = {}
    since = {point.pk: max(start, first[point.pk]) for point in points}
    for day_one in set(since.values()):
        together = [point for point in points if since[point.pk] == day_one]
        taken |= _taken(area, together, settlements, day_one, end)
        sold |= _sold(together, day_one, end)
    bought_rate, sold_rates = _vat_rate(area, day), _feed_in_rates(area, day)
    parts = []
    for point in points:
        energy = taken.get(point.pk, Counter())
        parts.append(BillPart(_("Own use"), 0, Hue.OWN, wh=_of(energy, Scheme.OWN_USE)))
        if bought := {key: wh for key, wh in energy.items() if key[0] in BOUGHT}:
            parts += _parts(compute(bought, dict.fromkeys(BOUGHT, bought_rate), area.currency), sold=False, sign=1)
        fed_in = {key: wh for key, wh in energy.items() if key[0] is Scheme.FEED_IN}
        if gone := {**fed_in, **sold.get(point.pk, {})}:
            rate = sold_rates.get(point.plant.pk, 0)
            parts += _parts(compute(gone, dict.fromkeys(SOLD, rate), area.currency), sold=True, sign=-1)
    merged = _merge(parts)
    title = _("%(month)s so far") % {"month": date_format(start, "F Y")}
    return BillBar("bill", title, area.currency, sum(part.amount for part in merged), tuple(merged))


def _taken(
    area: MarketArea, points: Sequence[MeteringPoint], settlements: list[int], start: dt.date, end: dt.date
) -> dict[int, Energy]:
    """Per point, the Wh by (scheme, price) that were allocated there."""
    first, last = day_bounds(start, area.zone)[0], day_bounds(end, area.zone)[0]
    ids = [point.pk for point in points]
    found: dict[int, Energy] = {}
    with connection.cursor() as cursor:
        cursor.execute(_TAKEN, [area.pk, bucket_of(first), bucket_of(last - 1), settlements, ids])
        for point, scheme, price, wh in cursor.fetchall():
            if wh:
                found.setdefault(point, Counter())[Scheme(scheme), price] += wh
    return found


def _sold(points: Sequence[MeteringPoint], start: dt.date, end: dt.date) -> dict[int, Energy]:
    """Per point, the Wh by (scheme, price) that neighbours got from the plant there."""
    purchases = Purchase.objects.filter(
        offer__declaration__plant__point__in=[point.pk for point in points],
        offer__declaration__day__gte=start,
        offer__declaration__day__lt=end,
        delivered_wh__gt=0,
    ).order_by()
    rows = purchases.values_list("offer__declaration__plant__point", "price_micro").annotate(wh=Sum("delivered_wh"))
    found: dict[int, Energy] = {}
    for point, price, wh in rows:
        found.setdefault(point, Counter())[Scheme.PURCHASE, price] += wh
    return found


def _vat_rate(area: MarketArea, day: dt.date) -> int:
    rate = VatRate.objects.filter(area=area, since__lte=day).order_by("-since").first()
    return rate.ppm if rate else 0


def _feed_in_rates(area: MarketArea, day: dt.date) -> dict[int, int]:
    """VAT by plant, as its feed-in contract says."""
    return {plant: contract.vat_ppm for plant, contract in feed_in_contracts(area, day).items()}


def _of(energy: Energy, scheme: Scheme) -> int:
    return sum(wh for (found, _price), wh in energy.items() if found is scheme)


def _merge(parts: Iterable[BillPart]) -> list[BillPart]:
    """Parts of several points under one label become one; those of neither energy nor money go."""
    merged: dict[tuple[str, Hue], BillPart] = {}
    for part in parts:
        key = part.label, part.hue
        before = merged.get(key)
        if before is None:
            merged[key] = part
            continue
        wh = None if before.wh is None and part.wh is None else (before.wh or 0) + (part.wh or 0)
        merged[key] = BillPart(part.label, before.amount + part.amount, part.hue, wh=wh)
    return [part for part in merged.values() if part.amount or part.wh]


def invoice_bar(invoice: Invoice) -> BillBar:
    """The bill of an issued document, line by line as its JSON has it; a credit note is paid out."""
    sold = invoice.kind == DocumentKind.CREDIT_NOTE
    vat = tuple(
        VatGroup(int(group["ppm"]), int(group["net_minor"]), int(group["vat_minor"])) for group in read(invoice)["vat"]
    )
    parts = _merge(_parts(Figures(tuple(read_lines(invoice)), vat), sold=sold, sign=1))
    due = sum(part.amount for part in parts)
    return BillBar("bill", invoice.full_number, invoice.currency, due, tuple(parts), is_paid_out=sold)


def _parts(figures: Figures, *, sold: bool, sign: int) -> list[BillPart]:
    """With `sign` -1 what is sold counts against a bill, and is no energy used."""
    parts = [
        BillPart(
            line_label(line, sold=sold),
            sign * line.amount_minor,
            _hue(line),
            wh=None if sign < 0 or line.scheme is None else line.energy_wh,
        )
        for line in figures.lines
    ]
    for group in figures.vat:
        if group.vat_minor:
            words = _("VAT %(rate)s on what you sold") if sold else _("VAT %(rate)s")
            parts.append(BillPart(words % {"rate": percent(group.ppm)}, sign * group.vat_minor, Hue.NEUTRAL))
    return parts


def line_label(line: Line, *, sold: bool) -> str:
    match line.scheme:
        case Scheme.PURCHASE:
            return _("Sold to neighbours") if sold else _("From neighbours")
        case Scheme.SUPPLY:
            return _("From the utility")
        case Scheme.FEED_IN:
            return _("Sold to the utility")
        case Scheme.OWN_USE:
            return _("Own use")
        case _:
            return _("Rounding")


def _hue(line: Line) -> Hue:
    match line.scheme:
        case Scheme.PURCHASE:
            return Hue.NEIGHBOURS
        case Scheme.SUPPLY | Scheme.FEED_IN:
            return Hue.GRID
        case Scheme.OWN_USE:
            return Hue.OWN
        case _:
            return Hue.NEUTRAL


def line_table(invoice: Invoice) -> Table:
    """The lines as they are in the document: what, how much, at which price, net, VAT; then the sums."""
    sold = invoice.kind == DocumentKind.CREDIT_NOTE
    columns = (
        Column(_("What")),
        Column(_("kWh"), numeric=True),
        Column(_("Price"), numeric=True),
        Column(_("VAT rate"), numeric=True),
        Column(_("Net"), numeric=True),
    )
    currency = invoice.currency
    rows = [_row(line, invoice, sold=sold) for line in read_lines(invoice)]
    rows.append((_("Net"), "", "", "", money_minor(invoice.net_minor, currency)))
    for group in read(invoice)["vat"]:
        words = _("VAT on %(net)s") % {"net": money_minor(int(group["net_minor"]), currency)}
        rows.append((words, "", "", percent(int(group["ppm"])), money_minor(int(group["vat_minor"]), currency)))
    label = _("Paid out to you") if sold else _("To pay")
    total = (label, "", "", "", money_minor(invoice.total_minor, currency))
    return Table(_("Lines of the document"), columns, tuple(rows), total)


def _row(line: Line, invoice: Invoice, *, sold: bool) -> tuple[str, ...]:
    rounding = line.scheme is None
    return (
        line_label(line, sold=sold),
        "" if rounding else kwh_number(line.energy_wh, fixed=True),
        "" if rounding else unit_price(line.price_micro, invoice.currency, invoice.party.country),
        percent(line.vat_ppm),
        money_minor(line.amount_minor, invoice.currency),
    )


def period(invoice: Invoice) -> str:
    """The local days of a document, both ends included."""
    last = invoice.end - dt.timedelta(days=1)
    if last == invoice.start:
        return local_date(last)
    return f"{local_date(invoice.start)} {EN_DASH} {local_date(last)}"

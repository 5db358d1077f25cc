"""Make the invoices and credit notes of a period whose days are all settled."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.models import Party
from apps.accounts.permissions import acting
from apps.assets.models import MarketArea, MeteringPoint, Occupancy
from apps.billing import documents
from apps.billing.exceptions import BillingError
from apps.billing.models import DocumentKind, Invoice, Series
from apps.billing.pdf import render
from apps.ledger.choices import LedgerState
from apps.ledger.services.enqueue import enqueue
from apps.metering import readings
from apps.metering.models import Batch
from apps.settlement import allocations
from apps.settlement.models import Settlement
from apps.settlement.selectors import anchors_of, current_settlements
from apps.supply.models import FeedInContract
from apps.tariffs.models import VatRate
from evidence.commands.kinds import RecordInvoice
from evidence.contents import document_digest
from evidence.hashing import ZERO
from evidence.invoice import compute
from evidence.readings import Grade, Quality, Register
from evidence.settlement import Scheme
from market_math.slots import day_bounds

PREFIX = {DocumentKind.INVOICE: "R-", DocumentKind.CREDIT_NOTE: "G-"}
BOUGHT = (Scheme.PURCHASE, Scheme.SUPPLY)

Energy = dict[tuple[Scheme, int], int]
T = TypeVar("T")


def bill_area(area: MarketArea, start: dt.date, end: dt.date) -> list[Invoice]:
    """Documents for every metering point of an area for the local days [start, end), each in its own transaction.

    Raises `BillingError` when a day is not settled. What was issued before is left as it is.
    """
    settlements = list(current_settlements(area.pk, start, end).values())
    if len(settlements) != (end - start).days:
        raise BillingError(_("Not every day of this period is settled."))
    bought, sold = _energies(area, settlements, start, end)
    issued = []
    points = list(area.points.select_related("area__utility").order_by("code"))
    for kind, energies in ((DocumentKind.INVOICE, bought), (DocumentKind.CREDIT_NOTE, sold)):
        for point in points:
            if point.pk in energies:
                invoice = _issue(kind, point, start, end, energies[point.pk], settlements)
                if invoice is not None:
                    issued.append(invoice)
    return issued


def _energies(
    area: MarketArea, settlements: list[Settlement], start: dt.date, end: dt.date
) -> tuple[dict[int, Energy], dict[int, Energy]]:
    """Wh by (scheme, price): what each point bought, and what the plant at each point sold."""
    point_of = dict(area.plants.values_list("pk", "point_id"))
    first, last = day_bounds(start, area.zone)[0], day_bounds(end, area.zone)[0]
    bought: dict[int, Counter[tuple[Scheme, int]]] = {}
    sold: dict[int, Counter[tuple[Scheme, int]]] = {}
    for row in allocations.read(area.pk, [settlement.pk for settlement in settlements], first, last):
        key = Scheme(row.scheme), row.price
        if row.scheme in BOUGHT:
            bought.setdefault(row.point, Counter())[key] += row.allocated
        if row.scheme in (Scheme.PURCHASE, Scheme.FEED_IN):
            sold.setdefault(point_of[row.plant], Counter())[key] += row.allocated
    return _positive(bought), _positive(sold)


def _positive(found: Mapping[int, Counter[tuple[Scheme, int]]]) -> dict[int, Energy]:
    kept = {point: {key: wh for key, wh in counter.items() if wh} for point, counter in found.items()}
    return {point: energy for point, energy in kept.items() if energy}


def _vat(kind: DocumentKind, point: MeteringPoint, start: dt.date, end: dt.date) -> dict[Scheme, int]:
    """VAT by scheme: the area's rate on what is bought, the feed-in contract's on what is sold."""
    if kind == DocumentKind.INVOICE:
        known = VatRate.objects.filter(area=point.area, since__lt=end)
        first = known.filter(since__lte=start).order_by("since").last()
        rates = {first.ppm if first else None, *(rate.ppm for rate in known.filter(since__gt=start))}
        return dict.fromkeys(BOUGHT, _only(rates, _("value added tax")))
    holding = FeedInContract.objects.filter(Q(until=None) | Q(until__gt=start), plant__point=point, since__lt=end)
    rate = _only(set(holding.values_list("vat_ppm", flat=True)), _("the seller's value added tax"))
    return {Scheme.PURCHASE: rate, Scheme.FEED_IN: rate}


def _occupant(point: MeteringPoint, start: dt.date, end: dt.date) -> Party:
    living = Occupancy.objects.filter(Q(until=None) | Q(until__gt=start), point=point, since__lt=end)
    return _only({occupancy.party for occupancy in living.select_related("party")}, _("the customer"))


def _only(found: set[T | None], what: str) -> T:
    """A document has one customer and one rate; a period in which they change is billed in two."""
    only = next(iter(found), None)
    if only is None or len(found) != 1:
        raise BillingError(
            _("In this period %(what)s changes or is missing: bill the days before and after apart.") % {"what": what}
        )
    return only


def _grades(point: MeteringPoint, start: dt.date, end: dt.date, settlements: list[Settlement]) -> dict[int, int]:
    """Wh of the point's readings that were settled, by grade of evidence."""
    first, last = day_bounds(start, point.area.zone)[0], day_bounds(end, point.area.zone)[0]
    stored = readings.latest(point.area_id, [point.pk], first, last, anchors_of(settlements))
    grade_of = dict(Batch.objects.filter(pk__in={r.batch for r in stored}).values_list("pk", "grade"))
    grades: Counter[int] = Counter()
    for reading in stored:
        if reading.register in (Register.CONSUMPTION, Register.GENERATION):
            substitute = reading.quality == Quality.SUBSTITUTE
            grades[Grade.SUBSTITUTE if substitute else grade_of[reading.batch]] += reading.value
    return {int(grade): wh for grade, wh in grades.items()}


@transaction.atomic
def _issue(
    kind: DocumentKind,
    point: MeteringPoint,
    start: dt.date,
    end: dt.date,
    energy: Energy,
    settlements: list[Settlement],
) -> Invoice | None:
    """None when just this was issued before. Raises `BillingError` when a part of the period was."""
    area = point.area
    series = _lock_series(area, kind)
    before = Invoice.objects.filter(kind=kind, point=point, start__lt=end, end__gt=start)
    for earlier in before.exclude(ledger_state=LedgerState.REJECTED).select_related("series"):
        if (earlier.start, earlier.end) == (start, end):
            return None
        raise BillingError(_("%(number)s is about a part of these days.") % {"number": earlier.full_number})
    figures = compute(energy, _vat(kind, point, start, end), area.currency)
    series.last_number += 1
    series.save(update_fields=["last_number"])
    invoice = Invoice(
        kind=kind,
        series=series,
        number=series.last_number,
        area=area,
        party=_occupant(point, start, end) if kind == DocumentKind.INVOICE else point.plant.owner,
        point=point,
        start=start,
        end=end,
        currency=area.currency,
        net_minor=figures.net_minor,
        vat_minor=figures.vat_minor,
        total_minor=figures.total_minor,
        issued_at=timezone.now().replace(microsecond=0),
    )
    invoice.document = documents.build(invoice, figures, _grades(point, start, end, settlements))
    digest = document_digest(bytes(invoice.salt), bytes(invoice.document))
    invoice.pdf = render(documents.read(invoice), _language(invoice), digest)
    issuer = bytes(area.utility.ledger_id)
    invoice.command_id = enqueue(
        RecordInvoice(issuer, bytes(series.ledger_id), invoice.number, digest, ZERO), ledger=area.utility.ledger
    )
    invoice.save()
    invoice.settlements.set(settlements)
    return invoice


def _language(invoice: Invoice) -> str:
    member = acting(invoice.party.memberships.select_related("user")).first()
    return member.user.language if member else "en"


def _lock_series(area: MarketArea, kind: DocumentKind) -> Series:
    """The row stays locked until the invoice is committed, so that a number is neither skipped nor used twice."""
    series, _created = Series.objects.select_for_update().get_or_create(issuer=area.utility, prefix=PREFIX[kind])
    return series

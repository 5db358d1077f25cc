"""Invoices and credit notes: the list, one of them, its files, and checking it."""

import hashlib

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.accounts.permissions import Viewer
from apps.billing import selectors
from apps.billing.models import DocumentKind, Invoice
from apps.billing.services.bundles import evidence_bundle
from apps.billing.verification import verify_invoice
from apps.ledger.services.founding import trust_anchors
from apps.metering.choices import Grade
from apps.portal.access import for_viewer
from apps.portal.bills import invoice_bar, line_table, period
from apps.portal.cells import seal_cell
from apps.portal.links import invoice_url, link
from apps.portal.lists import page_of, shown
from apps.portal.records import seals_of
from apps.web.components import Column, Table
from apps.web.formatting import kwh_number, local_date, money_minor
from apps.web.pictures import bill_bar


@require_safe
@for_viewer
def invoices(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    page = page_of(request, selectors.invoices(viewer))
    found = list(page.object_list)
    with_customer = bool(viewer.staff_of or viewer.auditor_of)
    context = {"page": page, "shown": shown(page), "table": _table(found, with_customer=with_customer)}
    return render(request, "portal/invoices.html", context)


def _table(found: list[Invoice], *, with_customer: bool) -> Table:
    columns = [Column(_("Number")), Column(_("Kind")), Column(_("Period")), Column(_("Metering point"))]
    if with_customer:
        columns.append(Column(_("Customer")))
    columns += [Column(_("To pay"), numeric=True), Column(_("Paid out"), numeric=True), Column(_("Ledger"))]
    rows = []
    for invoice, seal in zip(found, seals_of(found), strict=True):
        total = money_minor(invoice.total_minor, invoice.currency)
        credit = invoice.kind == DocumentKind.CREDIT_NOTE
        row = [link(invoice_url(invoice), invoice.full_number), invoice.get_kind_display(), period(invoice)]
        row.append(str(invoice.point))
        if with_customer:
            row.append(str(invoice.party))
        rows.append((*row, "" if credit else total, total if credit else "", seal_cell(seal)))
    return Table(_("Invoices and credit notes"), tuple(columns), tuple(rows))


def _visible(viewer: Viewer) -> QuerySet[Invoice]:
    """With the document, which pages about one invoice show."""
    return (
        selectors.invoices(viewer).defer(None).defer("pdf").select_related("series", "area__utility", "party", "point")
    )


@require_safe
@for_viewer
def invoice(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    found = get_object_or_404(_visible(viewer), pk=pk)
    context = {
        "invoice": found,
        "is_credit": found.kind == DocumentKind.CREDIT_NOTE,
        "total": money_minor(found.total_minor, found.currency),
        "period": period(found),
        "issued": local_date(found.issued_at, found.area.zone),
        "bill": bill_bar(invoice_bar(found)),
        "lines": line_table(found),
        "seal": seals_of([found])[0],
    }
    return render(request, "portal/invoice.html", context)


@require_safe
@for_viewer
def pdf(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    found = get_object_or_404(selectors.invoices(viewer).defer(None), pk=pk)
    return _file(bytes(found.pdf), "application/pdf", f"{found.full_number}.pdf")


@require_safe
@for_viewer
def document(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    found = get_object_or_404(_visible(viewer), pk=pk)
    return _file(bytes(found.document), "application/json", f"{found.full_number}.json")


@require_safe
@for_viewer
def bundle(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    """All that an offline verifier needs besides the anchors; 404 until the ledger has confirmed the invoice."""
    found = get_object_or_404(_visible(viewer), pk=pk, ledger_state="confirmed")
    return _file(evidence_bundle(found), "application/json", f"{found.full_number}-bundle.json")


@require_safe
@for_viewer
def anchors(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    found = get_object_or_404(_visible(viewer), pk=pk)
    return _file(trust_anchors(found.area.utility.ledger), "application/json", "anchors.json")


@require_safe
@for_viewer
def verify(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    """Recomputes the invoice from signed readings, as the offline verifier does."""
    found = get_object_or_404(_visible(viewer), pk=pk)
    context = {
        "invoice": found,
        "total": money_minor(found.total_minor, found.currency),
        "seal": seals_of([found])[0],
        "is_confirmed": found.is_confirmed,
    }
    if found.is_confirmed:
        report = verify_invoice(found)
        fingerprint = hashlib.sha256(trust_anchors(found.area.utility.ledger)).digest()
        context |= {"report": report, "grades": _grades(report.grades), "fingerprint": fingerprint.hex()}
    return render(request, "portal/verify.html", context)


def _grades(grades: dict[int, int]) -> Table:
    """The Wh behind the invoice by grade of evidence, grades without energy included."""
    rows = tuple((capfirst(str(grade.label)), kwh_number(grades.get(grade.value, 0), fixed=True)) for grade in Grade)
    columns = (Column(_("Evidence")), Column(_("kWh"), numeric=True))
    total = (_("Together"), kwh_number(sum(grades.values()), fixed=True))
    return Table(_("How the readings behind it are evidenced"), columns, rows, total)


def _file(content: bytes, content_type: str, name: str) -> HttpResponse:
    response = HttpResponse(content, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response

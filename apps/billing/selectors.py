"""Invoices as people look at them."""

from django.db.models import QuerySet

from apps.accounts.permissions import Action, Viewer
from apps.billing.models import Invoice


def invoices(viewer: Viewer) -> QuerySet[Invoice]:
    """Without the documents themselves, which lists do not show."""
    found = viewer.visible(Action.VIEW_INVOICE, Invoice.objects.all(), "area__utility_id", "party_id")
    return found.select_related("series", "area", "party", "point").defer("document", "pdf")

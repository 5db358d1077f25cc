"""Addresses of pages, by what they show."""

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.assets.models import MeteringPoint
from apps.billing.models import Invoice


def record_url(command_id: bytes) -> str:
    return reverse("portal:record", args=[bytes(command_id).hex()])


def point_url(point: MeteringPoint) -> str:
    return reverse("portal:point", args=[point.pk])


def offer_url(pk: int) -> str:
    return reverse("portal:offer", args=[pk])


def purchase_url(pk: int) -> str:
    return reverse("portal:purchase", args=[pk])


def invoice_url(invoice: Invoice) -> str:
    return reverse("portal:invoice", args=[invoice.pk])


def link(url: str, words: object) -> SafeString:
    return format_html('<a href="{}">{}</a>', url, words)


def box_url(pk: int) -> str:
    return reverse("portal:fleet_box", args=[pk])

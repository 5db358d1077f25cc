"""Components as cells of a table."""

from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe

from apps.web.components import LedgerSeal
from apps.web.templatetags.components import chip, ledger_seal


def chip_cell(label: str, tone: str) -> SafeString:
    return mark_safe(render_to_string("components/chip.html", chip(label, tone)))  # noqa: S308 our own template


def seal_cell(seal: LedgerSeal | None) -> str:
    """Empty for what no ledger has heard of."""
    if seal is None:
        return ""
    return mark_safe(render_to_string("components/seal.html", ledger_seal(seal)))  # noqa: S308 our own template

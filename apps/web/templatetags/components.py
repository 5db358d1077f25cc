"""Building blocks of pages: `{% load components %}`. How to use each: docs/web-components.md."""

from datetime import datetime
from typing import Any

from django import template
from django.core.paginator import Page
from django.forms import BaseForm
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from apps.web.components import LedgerSeal, SealState, Table
from apps.web.pictures.hues import Hue
from apps.web.pictures.hues import swatch as draw_swatch

register = template.Library()

TONES = ("neutral", "waiting", "good", "bad")


@register.inclusion_tag("components/heading.html")
def page_heading(title: str, answer: str = "", above: str = "") -> dict[str, Any]:
    """The page's title and one sentence that answers the question the visitor came with."""
    return {"title": title, "answer": answer, "above": above}


@register.inclusion_tag("components/figure.html")
def figure(title: str, picture: SafeString, table: Table | None = None, note: str = "") -> dict[str, Any]:
    """A picture with its heading and, one click away, the table behind it."""
    return {"title": title, "picture": picture, "table": table, "note": note}


@register.inclusion_tag("components/table.html")
def data_table(table: Table) -> dict[str, Any]:
    """A table of finished text; on a phone each row becomes a short list with its headings."""
    return {
        "table": table,
        "rows": [list(zip(table.columns, row, strict=True)) for row in table.rows],
        "total": list(zip(table.columns, table.total, strict=True)) if table.total else None,
    }


@register.inclusion_tag("components/empty.html")
def empty_state(title: str, text: str, action: str = "", href: str = "") -> dict[str, Any]:
    """What will stand here, why there is nothing yet, and the one thing to do about it."""
    return {"title": title, "text": text, "action": action, "href": href}


@register.inclusion_tag("components/chip.html")
def chip(label: str, tone: str = "neutral") -> dict[str, Any]:
    """A status as a word with a dot. ValueError for a tone other than neutral, waiting, good, bad."""
    if tone not in TONES:
        raise ValueError(f"{tone!r} is not a tone of a chip: {', '.join(TONES)}.")
    return {"label": label, "tone": tone}


@register.inclusion_tag("components/seal.html")
def ledger_seal(seal: LedgerSeal) -> dict[str, Any]:
    """Where a record stands on its way to the ledger; a link when there is evidence to open."""
    return {"seal": seal, "words": seal_words(seal, timezone.now())}


@register.inclusion_tag("components/form.html")
def render_form(form: BaseForm, submit: str, action: str = "", cancel: str = "") -> dict[str, Any]:
    """A whole form that posts to `action` (default: this page), with labels, help, errors and its button.

    `cancel` is the address that a second, quiet link leads back to.
    """
    return {"form": form, "submit": submit, "action": action, "cancel": cancel}


@register.inclusion_tag("components/fields.html")
def render_fields(form: BaseForm) -> dict[str, Any]:
    """The fields of a form alone, for pages that write their own <form>."""
    return {"form": form}


@register.inclusion_tag("components/confirm.html")
def confirm_button(label: str, question: str, confirm: str, action: str, tone: str = "plain") -> dict[str, Any]:
    """A button that first asks: the question opens in place, its button posts to `action`. Works without JavaScript."""
    return {"label": label, "question": question, "confirm": confirm, "action": action, "tone": tone}


@register.inclusion_tag("components/pagination.html")
def pagination(page: Page[Any]) -> dict[str, Any]:
    """Previous and next page of a list, keeping the rest of the address."""
    return {"page": page}


@register.simple_tag
def swatch(key: str, hue: str) -> SafeString:
    """The small square of a hue, to stand before its word. `key` starts its id: one per page."""
    return draw_swatch(key, Hue(hue))


def seal_words(seal: LedgerSeal, now: datetime) -> str:
    """The seal as one line of text."""
    match seal.state:
        case SealState.QUEUED:
            return _with_age(_("Waiting for the ledger: queued"), seal.since, now)
        case SealState.SENT:
            return _with_age(_("Waiting for the ledger: sent"), seal.since, now)
        case SealState.REJECTED:
            return _("Rejected by the ledger: %(reason)s") % {"reason": seal.reason}
        case SealState.CONFIRMED:
            words = _("On the ledger, block %(entry)s") if seal.in_block else _("On the ledger, entry %(entry)s")
            line = words % {"entry": seal.entry}
            if seal.verified_at is None:
                return line
            return _("%(record)s, verified %(age)s") % {"record": line, "age": _age(seal.verified_at, now)}


def _with_age(words: str, since: datetime | None, now: datetime) -> str:
    return words if since is None else f"{words}, {_age(since, now)}"


def _age(instant: datetime, now: datetime) -> str:
    if (now - instant).total_seconds() < 60:
        return _("just now")
    return _("%(time)s ago") % {"time": timesince(instant, now, depth=1)}

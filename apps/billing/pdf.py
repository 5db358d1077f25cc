"""An invoice or credit note on paper: A4, archivable (PDF/A-3a) and accessible (PDF/UA-1), with its data attached.

Everything is computed and formatted here; the template in `typst/` only places it. Texts reach the template as data,
never as source.
"""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import typst
from django.utils import translation
from django.utils.translation import gettext as _

from apps.billing.glyphs import FONTS, REPLACEMENT, drawable
from apps.billing.models import DocumentKind
from apps.settlement.choices import Scheme
from apps.web.formatting import (
    EN_DASH,
    EXACT,
    active_language,
    decimal_text,
    local_date,
    money_minor,
    percent,
    unit_price,
)
from apps.web.pictures.hues import Hue
from evidence import canonical

TEMPLATE = Path(__file__).parent / "typst" / "invoice.typ"
ROUNDING = "rounding"
HUES = {Scheme.PURCHASE: Hue.NEIGHBOURS, Scheme.SUPPLY: Hue.GRID, Scheme.FEED_IN: Hue.GRID}
COMMAND = "energymarket-verify bundle.json --trust anchors.json"
# Bars are drawn in parts of this, as whole numbers.
WIDTH = 1_000_000

View = dict[str, Any]
Document = Mapping[str, Any]


def render(document: Document, language: str, digest: bytes) -> bytes:
    """The PDF of a parsed invoice or credit note; `digest` is its hash of 32 bytes on the ledger.

    The same document, language and digest give the same bytes. Raises `KeyError` for a currency, scheme or kind that
    has no words here, `ValueError` for a digest of another length.
    """
    if len(digest) != 32:
        raise ValueError(f"The hash of a document has 32 bytes, not {len(digest)}.")
    with translation.override(active_language(language)):
        view = _view(document, digest)
    return typst.compile(
        str(TEMPLATE),
        font_paths=_fonts(),
        sys_inputs={"view": json.dumps(view), "document": canonical.dumps(document).decode()},
        pdf_standards=["a-3a", "ua-1"],
        timestamp=_issued(document),
    )


@cache
def _fonts() -> typst.Fonts:
    # Neither the machine's nor the compiler's own: the same document is to look the same everywhere.
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(FONTS)])


def _view(document: Document, digest: bytes) -> View:
    number = drawable(f"{document['series']}{int(document['number']):06d}")
    title = {DocumentKind.INVOICE: _("Invoice"), DocumentKind.CREDIT_NOTE: _("Credit note")}[document["kind"]]
    view: View = {
        "lang": active_language(),
        "title": f"{title} {number}",
        "issuer": _party(document["issuer"]),
        "customer": _party(document["customer"]),
        "facts": _facts(document, number),
        "due": _due(document),
        "picture": _picture(document),
        "lines": _lines(document),
        "vat": _vat(document),
        "notes": _notes(document),
        "grades": _grades(document),
        "check": _check(digest),
        # Filled in by the template, which alone knows how many pages there are.
        "page": _("Page {page} of {pages}"),
    }
    if REPLACEMENT in json.dumps(view, ensure_ascii=False):
        note = _("Characters that this page cannot show stand as {mark}; the attached invoice.json has them.")
        view["notes"].append(note.format(mark=REPLACEMENT))
    return view


def _issued(document: Document) -> dt.datetime:
    return dt.datetime.fromisoformat(document["issued"])


def _party(party: Mapping[str, str]) -> View:
    """A name and the lines below it."""
    countries = {"DE": _("Germany"), "ES": _("Spain"), "CO": _("Colombia")}
    town = f"{party['postal_code']} {party['city']}"
    country = countries.get(party["country"], party["country"])
    lines = [drawable(line) for line in (party["street"], town, country)]
    tax_id = drawable(party["tax_id"])
    return {
        "name": drawable(party["name"]),
        "lines": [line for line in lines if line],
        "tax": _("Tax number: {number}").format(number=tax_id) if tax_id else "",
    }


def _facts(document: Document, number: str) -> list[tuple[str, str]]:
    zone = ZoneInfo(document["time_zone"])
    point = document["point"]
    facts = [
        (_("Number"), number),
        (_("Date of issue"), local_date(_issued(document), zone)),
        (_("Delivery period"), _period(document)),
        (_("Metering point"), drawable(point["code"])),
        ("", drawable(point["name"])),
    ]
    return [(label, value) for label, value in facts if value]


def _period(document: Document) -> str:
    """Local days, the last one inclusive."""
    first = dt.date.fromisoformat(document["start"])
    last = dt.date.fromisoformat(document["end"]) - dt.timedelta(days=1)
    return local_date(first) if first == last else f"{local_date(first)} {EN_DASH} {local_date(last)}"


def _due(document: Document) -> View:
    total = int(document["total_minor"])
    if document["kind"] == DocumentKind.CREDIT_NOTE:
        label = _("This amount is credited to you") if total >= 0 else _("Amount due")
    else:
        label = _("Amount due") if total >= 0 else _("To be paid out to you")
    return {"label": label, "amount": money_minor(abs(total), document["currency"])}


def _names(kind: str) -> dict[int | str, str]:
    """What a line is about, in plain words."""
    energy: dict[int | str, str]
    if kind == DocumentKind.INVOICE:
        energy = {Scheme.PURCHASE: _("From neighbours"), Scheme.SUPPLY: _("From the utility")}
    else:
        energy = {Scheme.PURCHASE: _("Sold to neighbours"), Scheme.FEED_IN: _("Fed in to the utility")}
    return {**energy, ROUNDING: _("Rounding")}


def _scheme(line: Mapping[str, str]) -> int | str:
    return ROUNDING if line["scheme"] == ROUNDING else int(line["scheme"])


def _kwh(wh: int) -> str:
    """Wh as kWh with all three decimals: a bill is exact."""
    return decimal_text(Decimal(wh).scaleb(-3, context=EXACT), least=3, most=3)


def _lines(document: Document) -> View:
    names = _names(document["kind"])
    rows = []
    for line in document["lines"]:
        rest = line["scheme"] == ROUNDING
        price = unit_price(int(line["price_micro"]), document["currency"], document["issuer"]["country"])
        rows.append(
            [
                names[_scheme(line)],
                "" if rest else _kwh(int(line["energy_wh"])),
                "" if rest else price,
                percent(int(line["vat_ppm"])),
                money_minor(int(line["amount_minor"]), document["currency"]),
            ]
        )
    return {"head": [_("What"), _("Energy (kWh)"), _("Price"), _("VAT rate"), _("Net amount")], "rows": rows}


def _vat(document: Document) -> View:
    currency = document["currency"]
    rows = [
        [
            percent(int(group["ppm"])),
            money_minor(int(group["net_minor"]), currency),
            money_minor(int(group["vat_minor"]), currency),
        ]
        for group in document["vat"]
    ]
    sums = [money_minor(int(document[name]), currency) for name in ("net_minor", "vat_minor")]
    return {
        "head": [_("VAT rate"), _("Net amount"), _("VAT")],
        "rows": rows,
        "sums": [_("Sum"), *sums] if len(rows) > 1 else [],
    }


def _notes(document: Document) -> list[str]:
    notes = []
    if document["kind"] == DocumentKind.CREDIT_NOTE:
        # Translators: self-billing. German law asks for the word "Gutschrift" (§ 14 UStG), Spanish law for
        # "facturación por el destinatario" (RD 1619/2012).
        notes.append(_("Self-billing: we write this document for you as the seller; you need not send an invoice."))
    if document["vat"] and all(int(group["ppm"]) == 0 for group in document["vat"]):
        seller = document["issuer" if document["kind"] == DocumentKind.INVOICE else "customer"]
        if seller["country"] == "DE":
            # Translators: German "Kleinunternehmer".
            notes.append(_("No VAT is charged: the seller is a small business under § 19 UStG (German VAT law)."))
        else:
            notes.append(_("No VAT is charged."))
    return notes


def _grades(document: Document) -> View:
    names = {
        1: _("signed by the meter"),
        2: _("signed by the operator who imported it"),
        3: _("substitute value, formed by rule"),
    }
    return {
        "head": [_("Readings behind this document"), _("Energy (kWh)")],
        "rows": [[names[int(row["grade"])], _kwh(int(row["energy_wh"]))] for row in document["grades"]],
    }


def _check(digest: bytes) -> View:
    text = digest.hex()
    return {
        "title": _("Check it yourself"),
        "hash_label": _("Hash of this document on the ledger"),
        "hash": [text[i : i + 8] for i in range(0, len(text), 8)],
        "hash_note": _("It stands for the attached invoice.json with a secret salt, which the evidence file names."),
        "how": _("Download the evidence file (bundle.json) beside this document, then run:"),
        "command": COMMAND,
        "proves": _(
            "This recomputes every amount from the signed readings and shows that the ledger recorded exactly this "
            "document."
        ),
        "attachment": _("The data of this document, for machines"),
    }


def _picture(document: Document) -> View:
    """Two bars: where the energy came from or went to, and what it costs; no bars where an amount is negative."""
    names = _names(document["kind"])
    wh, amounts = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for line in document["lines"]:
        wh[_scheme(line)] += int(line["energy_wh"])
        amounts[_scheme(line)] += int(line["amount_minor"])
    energy = [(HUES[Scheme(key)], names[key], wh[key]) for key in names if key != ROUNDING and wh[key]]
    money = [(HUES[Scheme(key)], names[key], amounts[key]) for key in names if key != ROUNDING and wh[key]]
    other = [(Hue.NEUTRAL, _("VAT"), int(document["vat_minor"])), (Hue.NEUTRAL, names[ROUNDING], amounts[ROUNDING])]
    money += [part for part in other if part[2]]
    # A rest of some cents is too thin to be seen, so that it may be negative.
    if not energy or any(part[2] < 0 for part in money if part[1] != names[ROUNDING]):
        return {}
    currency = document["currency"]
    legend = [
        {
            "hue": str(hue),
            "label": name,
            "text": " · ".join(
                [f"{_kwh(value)} kWh" for _hue, found, value in energy if found == name]
                + [money_minor(amount, currency)]
            ),
        }
        for hue, name, amount in money
    ]
    return {
        "energy": {"label": _("Energy"), "total": f"{_kwh(sum(wh.values()))} kWh", "parts": _spans(energy)},
        "money": {
            "label": _("Amount"),
            "total": money_minor(int(document["total_minor"]), currency),
            "parts": _spans(money),
        },
        "legend": legend,
        "alt": "; ".join(f"{entry['label']}: {entry['text']}" for entry in legend),
    }


def _spans(parts: Sequence[tuple[Hue, str, int]]) -> list[View]:
    """Each part with where it starts and ends on the bar."""
    whole = max(sum(max(value, 0) for _hue, _name, value in parts), 1)
    spans, done = [], 0
    for hue, _name, value in parts:
        start, done = done, done + max(value, 0)
        spans.append({"hue": str(hue), "start": start * WIDTH // whole, "end": done * WIDTH // whole})
    return spans

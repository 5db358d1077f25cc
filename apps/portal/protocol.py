"""The protocol of an enrolment on paper: who brought which box to which metering points, and what it read there.

Everything is computed and formatted here; the template in `typst/` only places it. Texts reach the template as data.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import typst
from django.utils import translation
from django.utils.translation import gettext as _

from apps.billing.glyphs import FONTS, drawable
from apps.metering.choices import MeterRole
from apps.metering.models import EnrolmentCode, FoundMeter
from apps.portal.enrolment_forms import energy_text, meter_label
from apps.portal.enrolments import measures, point_text, read_text
from apps.web.formatting import EN_DASH, active_language, local_datetime

TEMPLATE = Path(__file__).parent / "typst" / "protocol.typ"


def protocol_of(enrolment: EnrolmentCode, meters: Sequence[FoundMeter], language: str) -> bytes:
    """The PDF (PDF/UA-1) of an enrolment whose box is registered. ValueError for one whose box is not."""
    with translation.override(active_language(language)):
        view = _view(enrolment, meters)
    return typst.compile(
        str(TEMPLATE), font_paths=_fonts(), sys_inputs={"view": json.dumps(view)}, pdf_standards=["ua-1"]
    )


@cache
def _fonts() -> typst.Fonts:
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(FONTS)])


def _view(enrolment: EnrolmentCode, meters: Sequence[FoundMeter]) -> dict[str, Any]:
    used = [meter for meter in meters if meter.role != MeterRole.NONE]
    rows = [
        [meter_label(each), measures(each), point_text(each), energy_text(each) or EN_DASH, read_text(each, enrolment)]
        for each in used
    ]
    return {
        "lang": active_language(),
        "title": _("Enrolment of the meter box {name}").format(name=drawable(enrolment.name)),
        "utility": drawable(str(enrolment.area.utility)),
        "sections": [
            (_("The box"), _drawable(_box(enrolment))),
            (_("What was done"), _drawable(_story(enrolment))),
        ],
        "meters": {
            "title": _("What measures what"),
            "head": [_("Meter"), _("Measures"), _("Metering point"), _("Showed"), _("Read")],
            "rows": [[drawable(cell) for cell in row] for row in rows],
        },
        "signatures": [_("Place, date, installer"), _("Place, date, customer")],
        # Filled in by the template, which alone knows how many pages there are.
        "page": _("Page {page} of {pages}"),
    }


def _box(enrolment: EnrolmentCode) -> list[tuple[str, str]]:
    device, key = enrolment.device, enrolment.public_key
    if device is None or key is None:
        raise ValueError(f"the box of {enrolment} is not registered")
    return [
        (_("Market area"), str(enrolment.area)),
        (_("Owner"), str(device.owner)),
        (_("Number of the device"), bytes(device.ledger_id).hex()),
        (_("Its key"), key.id.hex()),
        (_("Registration on the ledger"), bytes(device.command_id or b"").hex()),
        (_("Program"), f"meter-agent {enrolment.agent}"),
    ]


def _story(enrolment: EnrolmentCode) -> list[tuple[str, str]]:
    zone = enrolment.area.zone

    def at(instant: Any, person: Any = None) -> str:
        if instant is None:
            return _("not yet")
        when = local_datetime(instant, zone)
        return f"{when}, {person}" if person else when

    steps = [
        (_("Code made"), at(enrolment.created_at, enrolment.made_by)),
        (_("Code used by the box"), at(enrolment.used_at)),
        (_("Readings confirmed, live"), at(enrolment.live_at, enrolment.live_by)),
    ]
    if enrolment.undone_at:
        steps.append((_("Undone"), at(enrolment.undone_at, enrolment.undone_by)))
    return steps


def _drawable(facts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(label, drawable(value)) for label, value in facts]

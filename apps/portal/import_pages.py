"""Imports of readings as pages show them."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.accounts.permissions import Action, Viewer
from apps.assets.models import MarketArea
from apps.metering.choices import ImportState, SourceKey, Use
from apps.metering.formats.base import MOST_BYTES
from apps.metering.models import ReadingImport, TableLayout
from apps.metering.sources import FILES
from apps.portal.cells import chip_cell
from apps.portal.links import link
from apps.web.components import Column, Table
from apps.web.formatting import local_datetime

TONES = {
    ImportState.CHECKED: "waiting",
    ImportState.QUEUED: "waiting",
    ImportState.RUNNING: "waiting",
    ImportState.STOPPED: "neutral",
    ImportState.STORED: "good",
    ImportState.REFUSED: "bad",
    ImportState.FAILED: "bad",
    ImportState.DISCARDED: "neutral",
}


class FileForm(forms.Form):
    """A file, and how it is read."""

    area = forms.ModelChoiceField(MarketArea.objects.none(), label=gettext_lazy("Market area"), empty_label=None)
    source = forms.ChoiceField(label=gettext_lazy("Kind of file"))
    layout = forms.ModelChoiceField(
        TableLayout.objects.none(),
        required=False,
        label=gettext_lazy("Layout"),
        empty_label=gettext_lazy("not a table"),
        help_text=gettext_lazy("Of CSV and XLSX tables, as agreed with whoever sends them."),
    )
    file = forms.FileField(label=gettext_lazy("File"), help_text=gettext_lazy("At most 5 MB."))

    def __init__(self, *args: Any, viewer: Viewer, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        areas = viewer.visible(Action.IMPORT_READINGS, MarketArea.objects.select_related("utility"), "utility")
        layouts = TableLayout.objects.filter(area__in=areas).select_related("area")
        chosen: dict[str, Any] = self.fields
        chosen["area"].queryset = areas
        chosen["layout"].queryset = layouts
        chosen["source"].choices = [(key.value, key.label) for key in FILES]

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MOST_BYTES:
            raise ValidationError(_("At most %(bytes)s bytes in a file.") % {"bytes": MOST_BYTES})
        return file

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        source, layout, area = (self.cleaned_data.get(name) for name in ("source", "layout", "area"))
        if source and FILES[SourceKey(source)].needs_layout and layout is None:
            self.add_error("layout", _("A table needs a layout."))
        if layout is not None and area is not None and layout.area_id != area.pk:
            self.add_error("layout", _("This layout is of another market area."))
        return cleaned


def import_table(imports: list[ReadingImport]) -> Table:
    columns = (
        Column(_("File")),
        Column(_("Kind of file")),
        Column(_("From")),
        Column(_("Received")),
        Column(_("Stored"), numeric=True),
        Column(_("State")),
    )
    rows = tuple(
        (
            link(reverse("portal:import", args=[each.pk]), each.name),
            each.get_source_display(),
            each.sender,
            local_datetime(each.created_at, each.area.zone),
            str(each.stored),
            state_chip(each),
        )
        for each in imports
    )
    return Table(_("Imports of readings"), columns, rows)


def state_chip(delivery: ReadingImport) -> SafeString:
    return chip_cell(delivery.get_state_display(), TONES[ImportState(delivery.state)])


def problem_table(delivery: ReadingImport) -> Table | None:
    problems = delivery.report["problems"]
    if not problems:
        return None
    columns = (Column(_("Line")), Column(_("Where")), Column(_("What is wrong")), Column(_("Rule")))
    rows = tuple((str(each["line"]), each["field"], each["message"], each["rule"]) for each in problems)
    return Table(_("Problems by line"), columns, rows, long=len(rows) > 20)


def point_table(delivery: ReadingImport) -> Table | None:
    points = delivery.report["points"]
    if not points:
        return None
    columns = (
        Column(_("Metering point")),
        Column(_("New readings"), numeric=True),
        Column(_("What they are good for")),
    )
    rows = tuple((each["code"], str(each["new"]), str(Use(each["use"]).label)) for each in points)
    return Table(_("Readings by metering point"), columns, rows, long=len(rows) > 20)


def answer_of(delivery: ReadingImport) -> str:
    """What there is to say of a file in one sentence."""
    report = delivery.report
    match delivery.state:
        case ImportState.CHECKED if report["bad"]:
            words = _("%(bad)s rows cannot be used; %(new)s readings of the others would be new.")
        case ImportState.CHECKED:
            words = _("All rows are good: %(new)s readings are new, %(identical)s are there already.")
        case ImportState.QUEUED | ImportState.RUNNING | ImportState.STOPPED:
            words = _("%(done)s of %(total)s metering points are stored.")
        case ImportState.STORED:
            words = _("%(stored)s readings of %(total)s metering points were stored.")
        case ImportState.REFUSED:
            words = _("Nothing in it can be used, so nothing was stored.")
        case ImportState.FAILED:
            words = _("It could not be stored to the end: %(stored)s readings are there.")
        case _:
            words = _("It was dropped. %(stored)s readings of it are there.")
    counts = {name: getattr(delivery, name) for name in ("done", "total", "stored")}
    return words % {**report, **counts}

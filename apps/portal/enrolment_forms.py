"""Forms of the wizard that brings a box into the market."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.accounts.choices import MemberRole
from apps.accounts.models import Membership, User
from apps.accounts.permissions import Action, Viewer, in_force
from apps.assets.models import MarketArea, MeteringPoint
from apps.metering.choices import MeterRole
from apps.metering.models import EnrolmentCode, FoundMeter
from apps.web.formatting import kwh

MOST_POINTS = 64
# A choice of its own: that a meter measures nothing has to be said.
NOTHING = "none"
QUANTITIES: dict[str, str | Promise] = {"import": _("import"), "export": _("export")}


class NewBoxForm(forms.Form):
    """A code for a box. Only staff choose who installs it."""

    def __init__(self, data: Mapping[str, Any] | None = None, *, viewer: Viewer) -> None:
        areas = viewer.visible(Action.ENROL_BOX, MarketArea.objects.select_related("utility"), "utility")
        self.areas = {area.pk: area for area in areas}
        super().__init__(data, initial={"area": next(iter(self.areas), None)})
        choices = [(pk, str(area)) for pk, area in self.areas.items()]
        widget = forms.HiddenInput if len(choices) == 1 else forms.Select
        self.fields["area"] = forms.TypedChoiceField(
            label=_("Market area"), choices=choices, coerce=self.areas.__getitem__, widget=widget
        )
        self.fields["area"].coerce = lambda pk: self.areas[int(pk)]  # type: ignore[attr-defined]
        self.fields["name"] = forms.CharField(
            label=_("Name of the box"), max_length=100, help_text=_("As people will call it, such as “Hauptstraße 7”.")
        )
        self.fields["points"] = forms.CharField(
            label=_("Metering points that it will measure"),
            required=False,
            widget=forms.Textarea(attrs={"rows": 2, "autocomplete": "off"}),
            help_text=_("Their numbers, one on each line. They can also be chosen on the spot."),
        )
        installers = installers_of(viewer)
        if installers:
            self.fields["installer"] = forms.TypedChoiceField(
                label=_("Installer"),
                choices=[("", _("nobody else")), *((pk, str(user)) for pk, user in installers.items())],
                coerce=lambda pk: installers[int(pk)],
                empty_value=None,
                required=False,
                help_text=_("Sees this enrolment and can do everything that is needed for it."),
            )

    def clean(self) -> dict[str, Any] | None:
        area = self.cleaned_data.get("area")
        if area is not None and "points" in self.cleaned_data:
            numbers = re.split(r"[\s,;]+", self.cleaned_data["points"].strip())
            self.cleaned_data["points"] = self._points(area, [number for number in numbers if number])
        return super().clean()

    def _points(self, area: MarketArea, numbers: Sequence[str]) -> list[MeteringPoint]:
        if len(numbers) > MOST_POINTS:
            self.add_error("points", _("A box measures at most 64 metering points."))
            return []
        found = list(MeteringPoint.objects.filter(area=area, code__in=numbers))
        missing = sorted(set(numbers) - {point.code for point in found})
        if missing:
            message = _("There is no metering point with this number in %(area)s: %(numbers)s.")
            self.add_error("points", message % {"area": area, "numbers": ", ".join(missing)})
        return found


def installers_of(viewer: Viewer) -> dict[int, User]:
    """People who install boxes for the utilities that the viewer works for."""
    rows = in_force(Membership.objects.filter(role=MemberRole.INSTALLER, party__in=viewer.staff_of))
    return {row.user_id: row.user for row in rows.select_related("user").order_by("user__name", "pk")}


class RolesForm(forms.Form):
    """What each of the meters measures."""

    def __init__(self, data: Mapping[str, Any] | None = None, *, meters: Sequence[FoundMeter]) -> None:
        super().__init__(data)
        is_chosen = any(meter.role for meter in meters)
        for meter in meters:
            self.fields[f"meter_{meter.pk}"] = forms.ChoiceField(
                label=meter_label(meter),
                help_text=energy_text(meter),
                choices=[(role or NOTHING, label) for role, label in MeterRole.choices],
                initial=meter.role or (NOTHING if is_chosen else None),
                widget=forms.RadioSelect,
            )

    @property
    def roles(self) -> dict[int, str]:
        chosen = {int(name.removeprefix("meter_")): role for name, role in self.cleaned_data.items()}
        return {pk: MeterRole.NONE if role == NOTHING else role for pk, role in chosen.items()}


class PointsForm(forms.Form):
    """To which metering point each of the meters belongs, by its number: an installer sees no list of customers."""

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        enrolment: EnrolmentCode,
        meters: Sequence[FoundMeter],
        planned: Sequence[MeteringPoint],
    ) -> None:
        super().__init__(data)
        self.area = enrolment.area
        self.found: dict[int, MeteringPoint] = {}
        codes = [point.code for point in planned]
        for index, meter in enumerate(meters):
            proposed = meter.point.code if meter.point else codes[index] if index < len(codes) else ""
            self.fields[f"meter_{meter.pk}"] = forms.CharField(
                label=meter_label(meter),
                initial=proposed,
                max_length=50,
                widget=forms.TextInput(attrs={"autocomplete": "off", "list": "planned", "spellcheck": "false"}),
            )

    def clean(self) -> dict[str, Any] | None:
        numbers = {name: value.strip() for name, value in self.cleaned_data.items()}
        points = MeteringPoint.objects.filter(area=self.area, code__in=numbers.values()).select_related("plant")
        by_code = {point.code: point for point in points}
        for name, number in numbers.items():
            if number in by_code:
                self.found[int(name.removeprefix("meter_"))] = by_code[number]
            else:
                message = _("There is no metering point with this number in %(area)s.")
                self.add_error(name, ValidationError(message % {"area": self.area}))
        return super().clean()


class PlantsForm(PointsForm):
    """The same for meters of generation: there has to be a plant."""

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        for pk, point in self.found.items():
            if not hasattr(point, "plant"):
                message = _("No plant is registered at this metering point. The utility has to do that first.")
                self.add_error(f"meter_{pk}", ValidationError(message))
        return cleaned


def energy_text(meter: FoundMeter) -> str:
    """What its active counters show."""
    shown = [f"{word} {kwh(meter.energy[name])}" for name, word in QUANTITIES.items() if name in meter.energy]
    return ", ".join(shown)


def meter_label(meter: FoundMeter) -> str:
    serial = f" · {meter.serial}" if meter.serial else ""
    return f"{meter} · {meter.where}{serial}" if meter.description else f"{meter.where}{serial}"

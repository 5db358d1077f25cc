"""What the pages of the wizard show: its steps, the meters, what will be registered."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.accounts.permissions import Action, Viewer
from apps.metering.choices import EnrolmentState, MeterRole
from apps.metering.models import EnrolmentCode, FoundMeter, Measurement
from apps.portal.enrolment_forms import energy_text, meter_label
from apps.portal.links import link
from apps.web.components import Column, Table
from apps.web.formatting import EN_DASH, decimal_text, local_datetime

STEPS: tuple[tuple[str, str | Promise], ...] = (
    ("enrolment", gettext_lazy("Code")),
    ("enrolment_meters", gettext_lazy("Meters")),
    ("enrolment_plant", gettext_lazy("Plant")),
    ("enrolment_point", gettext_lazy("Metering point")),
    ("enrolment_test", gettext_lazy("Test reading")),
    ("enrolment_live", gettext_lazy("Live")),
)
TONES = {
    EnrolmentState.OPEN: "waiting",
    EnrolmentState.CHALLENGED: "waiting",
    EnrolmentState.WAITING: "waiting",
    EnrolmentState.CONFIGURED: "waiting",
    EnrolmentState.LIVE: "good",
    EnrolmentState.UNDONE: "neutral",
}
# How many steps can be looked at in each state.
_OPEN_STEPS = {
    EnrolmentState.OPEN: 2,
    EnrolmentState.CHALLENGED: 2,
    EnrolmentState.WAITING: 4,
    EnrolmentState.CONFIGURED: 5,
    EnrolmentState.LIVE: 6,
}


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the wizard; without `href` it cannot be taken yet."""

    label: str
    href: str
    is_current: bool
    is_done: bool


def steps(enrolment: EnrolmentCode, current: str) -> list[Step]:
    names = [name for name, _label in STEPS]
    reachable = _OPEN_STEPS.get(EnrolmentState(enrolment.state), len(STEPS) if enrolment.device_id else 2)
    at = names.index(next_step(enrolment).removeprefix("portal:"))
    return [
        Step(
            str(label),
            reverse(f"portal:{name}", args=[enrolment.pk]) if index < reachable else "",
            name == current,
            index < at or enrolment.state == EnrolmentState.LIVE,
        )
        for index, (name, label) in enumerate(STEPS)
    ]


def next_step(enrolment: EnrolmentCode) -> str:
    """The page with what has to be done now."""
    if enrolment.state == EnrolmentState.WAITING:
        return "portal:enrolment_meters"
    if enrolment.state == EnrolmentState.CONFIGURED:
        return "portal:enrolment_test"
    return "portal:enrolment_live" if enrolment.state == EnrolmentState.LIVE else "portal:enrolment"


def state_words(enrolment: EnrolmentCode) -> tuple[str, str]:
    """What a chip says, and its tone."""
    if enrolment.is_expired and enrolment.state == EnrolmentState.OPEN:
        return _("code expired"), "bad"
    return enrolment.get_state_display(), TONES[EnrolmentState(enrolment.state)]


def progress_token(enrolment: EnrolmentCode, meters: Sequence[FoundMeter]) -> str:
    """Changes whenever a page that waits should be looked at again."""
    newest = max((meter.read_at for meter in meters if meter.read_at), default=None)
    seal = enrolment.device.ledger_state if enrolment.device else ""
    parts = (enrolment.state, len(meters), newest.timestamp() if newest else "", enrolment.problem, seal)
    return "|".join(str(part) for part in parts)


def enrolment_table(enrolments: Iterable[EnrolmentCode], viewer: Viewer) -> Table:
    columns = (
        Column(_("Box")),
        Column(_("State")),
        Column(_("Market area")),
        Column(_("Made")),
        Column(_("Installer")),
    )
    rows = tuple(
        (
            link(reverse(next_step(each), args=[each.pk]), each),
            state_words(each)[0],
            str(each.area),
            local_datetime(each.created_at, each.area.zone),
            str(each.installer or each.made_by) if viewer.staff_of else "",
        )
        for each in enrolments
    )
    return Table(_("Boxes on their way into the market"), columns, rows)


def found_table(meters: Iterable[FoundMeter], enrolment: EnrolmentCode) -> Table:
    columns = (Column(_("Meter")), Column(_("Shows now")), Column(_("Read")))
    rows = tuple((meter_label(meter), energy_text(meter) or EN_DASH, read_text(meter, enrolment)) for meter in meters)
    return Table(_("What the box has found"), columns, rows)


def assignment_table(meters: Iterable[FoundMeter], enrolment: EnrolmentCode, *, read: bool = False) -> Table:
    """What measures what; with `read`, also what the box read with its settings."""
    columns = [Column(_("Meter")), Column(_("Measures")), Column(_("Metering point"))]
    if read:
        columns += [Column(_("Shows now")), Column(_("Read"))]
    rows = []
    for meter in meters:
        if meter.role == MeterRole.NONE:
            continue
        row = [meter_label(meter), measures(meter), point_text(meter)]
        if read:
            row += [meter.error or energy_text(meter), read_text(meter, enrolment)]
        rows.append(tuple(row))
    return Table(_("What measures what"), tuple(columns), tuple(rows))


def measures(meter: FoundMeter) -> str:
    plant = getattr(meter.point, "plant", None)
    if meter.role == MeterRole.GENERATION and plant is not None:
        return _("what %(plant)s makes (%(power)s kW)") % {"plant": plant, "power": kilowatts(plant.power_w)}
    return meter.get_role_display()


def kilowatts(power_w: int) -> str:
    return decimal_text(Decimal(power_w).scaleb(-3), most=3)


def point_text(meter: FoundMeter) -> str:
    point = meter.point
    if point is None:
        return EN_DASH
    place = "" if point.city in point.name else point.city
    return " · ".join(part for part in (point.code, point.name, place) if part)


def read_text(meter: FoundMeter, enrolment: EnrolmentCode) -> str:
    return local_datetime(meter.read_at, enrolment.area.zone) if meter.read_at else _("not yet")


def measured_already(enrolment: EnrolmentCode, meters: Iterable[FoundMeter]) -> list[str]:
    """Other boxes that measure these metering points at the moment."""
    points = {meter.point_id for meter in meters if meter.point_id}
    others = Measurement.objects.filter(point__in=points, until=None).exclude(device=enrolment.device_id)
    return [
        _("%(point)s is measured by the box %(device)s already.") % {"point": each.point, "device": each.device}
        for each in others.select_related("point", "device").order_by("pk")
    ]


def may_see_point(viewer: Viewer, meter: FoundMeter) -> bool:
    return meter.point is not None and viewer.may(Action.VIEW_METERING_POINT, meter.point)

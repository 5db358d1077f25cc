"""The boxes beside the meters as staff look at them: the list, what is wrong, one box."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db.models import Count, Exists, F, OrderBy, OuterRef, Prefetch, Q, QuerySet
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.accounts.permissions import Action, Viewer
from apps.assets.models import MeteringPoint
from apps.metering.choices import AlarmKind
from apps.metering.fleet_notices import NOTICES
from apps.metering.models import Alarm, Batch, BoxStatus, Device, DeviceKey, EnrolmentCode, Measurement
from apps.portal.cells import chip_cell
from apps.portal.links import box_url, link
from apps.web.components import Column, Table
from apps.web.formatting import EN_DASH, NBSP, decimal_text, local_datetime
from apps.web.pictures import LagChart
from apps.web.pictures.lag import HOURS, late

NEVER, REVOKED, ANY_ALARM = "never", "revoked", "alarm"
SHOWN_DAYS = 7


# What a list can be sorted by, and how; boxes of which it is not known stand last. Without any: alarms first.
ORDERS: Mapping[str, OrderBy] = {
    "contact": F("last_contact").asc(nulls_last=True),
    "behind": F("newest_end").asc(nulls_last=True),
    "waiting": F("status__readings").desc(nulls_last=True),
    "version": F("status__version").asc(nulls_last=True),
    "customer": F("owner__name").asc(),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a list is narrowed to: a state, one of `NEVER`, `REVOKED`, `ANY_ALARM` or a kind of alarm; and a word.

    `order` is one of `ORDERS`, or empty.
    """

    state: str = ""
    area: int | None = None
    text: str = ""
    order: str = ""


def visible_boxes(viewer: Viewer) -> QuerySet[Device]:
    boxes = Device.objects.select_related("area", "owner", "status")
    return viewer.visible(Action.VIEW_FLEET, boxes, "area__utility")


def visible_alarms(viewer: Viewer) -> QuerySet[Alarm]:
    alarms = Alarm.objects.select_related("device__area", "acknowledged_by")
    return viewer.visible(Action.VIEW_FLEET, alarms, "device__area__utility")


def listed(viewer: Viewer, asked: Asked) -> QuerySet[Device]:
    """Boxes in the order that is asked for, each with its open alarms as `open_alarms` and `has_key`."""
    standing = Alarm.objects.filter(closed_at=None)
    boxes = visible_boxes(viewer).annotate(
        has_alarm=Exists(standing.filter(device=OuterRef("pk"))),
        has_key=Exists(DeviceKey.objects.filter(device=OuterRef("pk"), revoked_at=None, grace_until=None)),
    )
    if asked.state == NEVER:
        boxes = boxes.filter(newest_end=None)
    elif asked.state == REVOKED:
        boxes = boxes.filter(has_key=False)
    elif asked.state == ANY_ALARM:
        boxes = boxes.filter(has_alarm=True)
    elif asked.state:
        boxes = boxes.filter(Exists(standing.filter(device=OuterRef("pk"), kind=asked.state)))
    if asked.area is not None:
        boxes = boxes.filter(area=asked.area)
    if asked.text:
        boxes = boxes.filter(
            Q(name__icontains=asked.text) | Q(owner__name__icontains=asked.text) | Q(points__code__icontains=asked.text)
        ).distinct()
    shown = Prefetch("alarms", standing.order_by("kind"), to_attr="open_alarms")
    return boxes.prefetch_related(shown).order_by(ORDERS.get(asked.order, F("has_alarm").desc()), "name", "pk")


def alarm_counts(viewer: Viewer) -> dict[AlarmKind, int]:
    """How many alarms of each kind are open; kinds without any are left out."""
    standing = visible_alarms(viewer).filter(closed_at=None).order_by()
    counts = dict(standing.values_list("kind").annotate(count=Count("pk")))
    return {kind: counts[kind] for kind in AlarmKind if kind in counts}


def measured_by(box: Device) -> QuerySet[MeteringPoint]:
    """The points that it measures now, not as a backup."""
    now = int(timezone.now().timestamp())
    still = Measurement.objects.filter(Q(until=None) | Q(until__gt=now), device=box, since__lte=now, is_backup=False)
    return MeteringPoint.objects.filter(pk__in=still.values("point")).select_related("area").order_by("code")


def status_of(box: Device) -> BoxStatus | None:
    return box.status if hasattr(box, "status") else None


def lag_minutes(box: Device, now: dt.datetime) -> int | None:
    """From the end of its newest slot until now; None before the first one."""
    return None if box.newest_end is None else max(0, int(now.timestamp()) - box.newest_end) // 60


def lag_text(box: Device, now: dt.datetime) -> str:
    minutes = lag_minutes(box, now)
    return EN_DASH if minutes is None else late(minutes)


def box_table(boxes: Iterable[Device]) -> Table:
    now = timezone.now()
    columns = (
        Column(_("Box")),
        Column(_("Customer")),
        Column(_("Last contact")),
        Column(_("Readings behind"), numeric=True),
        Column(_("Waiting"), numeric=True),
        Column(_("Version")),
        Column(_("State")),
    )
    return Table(_("Boxes beside the meters"), columns, tuple(_row(box, now) for box in boxes))


def _row(box: Device, now: dt.datetime) -> tuple[str, ...]:
    status = status_of(box)
    return (
        link(box_url(box.pk), box),
        str(box.owner),
        _ago(box.last_contact, now),
        lag_text(box, now),
        count_text(status.readings) if status else EN_DASH,
        status.version if status else EN_DASH,
        _state(box),
    )


def _ago(instant: dt.datetime | None, now: dt.datetime) -> str:
    if instant is None:
        return _("never")
    minutes = max(0, int((now - instant).total_seconds())) // 60
    return (_("%(time)s ago") % {"time": late(minutes)}).replace(" ", NBSP)


def _state(box: Device) -> str:
    chips = [] if box.has_key else [chip_cell(_("key revoked"), "neutral")]  # type: ignore[attr-defined]
    chips += [
        chip_cell(alarm.get_kind_display(), "waiting" if alarm.acknowledged_at else "bad")
        for alarm in box.open_alarms  # type: ignore[attr-defined]
    ]
    return _chips(chips or [chip_cell(_("in order"), "good")])


def _chips(chips: Iterable[str]) -> str:
    return format_html('<span class="chips">{}</span>', format_html_join("", "{}", ((chip,) for chip in chips)))


def alarm_words(alarm: Alarm) -> str:
    """What it says, as it was told when it opened."""
    values = {"device": alarm.device.name, "area": alarm.device.area.name, **alarm.values}
    return NOTICES[AlarmKind(alarm.kind)].text_of("raised", values)


def history_table(alarms: Iterable[Alarm]) -> Table:
    columns = (Column(_("What")), Column(_("Since")), Column(_("Over")), Column(_("Seen by")))
    rows = []
    for alarm in alarms:
        zone = alarm.device.area.zone
        rows.append(
            (
                alarm.get_kind_display(),
                local_datetime(alarm.opened_at, zone),
                local_datetime(alarm.closed_at, zone) if alarm.closed_at else _("stands"),
                str(alarm.acknowledged_by or EN_DASH),
            )
        )
    return Table(_("Alarms of this box"), columns, tuple(rows))


def key_table(box: Device) -> Table:
    columns = (Column(_("Key")), Column(_("Kept in")), Column(_("Since")), Column(_("Until")), Column(_("State")))
    rows = []
    enrolment = EnrolmentCode.objects.filter(device=box).first()
    for key in box.keys.order_by("-pk"):
        end = key.revoked_at or key.grace_until
        chips = [_key_state(key)]
        if key.misused_at is not None:
            chips.append(chip_cell(_("used after its revocation"), "bad"))
        since, until = (local_datetime(at, box.area.zone) if at else EN_DASH for at in (key.created_at, end))
        rows.append((str(key), _kept_in(key, enrolment), since, until, _chips(chips)))
    return Table(_("Keys of this box"), columns, tuple(rows))


def _key_state(key: DeviceKey) -> SafeString:
    if key.revoked_at is not None:
        return chip_cell(_("revoked"), "neutral")
    if key.grace_until is None:
        return chip_cell(_("in use"), "good")
    is_over = key.grace_until <= timezone.now()
    return chip_cell(_("exchanged"), "neutral") if is_over else chip_cell(_("exchanged, still accepted"), "waiting")


def _kept_in(key: DeviceKey, enrolment: EnrolmentCode | None) -> str:
    """What the box has shown of the key with which it came; of later ones it shows nothing."""
    if enrolment is None or enrolment.public_key != key.public_key:
        return EN_DASH
    return _("a security chip (TPM)") if enrolment.attestation else _("a file")


def facts(box: Device) -> list[tuple[str, str]]:
    """What to know of a box first, word and value."""
    status, now = status_of(box), timezone.now()
    found = [(_("Last contact"), _ago(box.last_contact, now)), (_("Readings behind"), lag_text(box, now))]
    return [*found, (_("Readings waiting"), count_text(status.readings))] if status else found


def said(status: BoxStatus, zone: ZoneInfo) -> list[tuple[str, str]]:
    """What a box said about itself, word and value."""
    return [
        (_("Version"), status.version),
        (_("Clock"), _clock(status.clock_offset)),
        (_("Free disk"), f"{decimal_text(Decimal(status.free_disk).scaleb(-6), most=0)}{NBSP}MB"),
        (_("Batches put aside after a refusal"), count_text(status.refused)),
        (_("Said"), local_datetime(status.received_at, zone)),
    ]


def _clock(offset: int) -> str:
    if abs(offset) <= 1:
        return _("right")
    words = _("%(seconds)s s ahead") if offset > 0 else _("%(seconds)s s behind")
    return words % {"seconds": count_text(abs(offset))}


def count_text(value: int) -> str:
    return decimal_text(Decimal(value), most=0)


def lag_of(box: Device, days: int = SHOWN_DAYS) -> LagChart:
    """How late its readings of the last days came, today included up to the last full hour."""
    today = box.area.today
    shown = tuple(today - dt.timedelta(days=back) for back in reversed(range(days)))
    return LagChart("lag", _("How late readings came"), shown, tuple(_late(box, shown)))


def _late(box: Device, days: Sequence[dt.date]) -> list[int | None]:
    zone = box.area.zone
    start = int(dt.datetime.combine(days[0], dt.time(), tzinfo=zone).timestamp())
    found: dict[tuple[dt.date, int], int] = {}
    batches = Batch.objects.filter(device=box, end__gt=start, day__gte=days[0])
    for since, until, received in batches.values_list("start", "end", "received_at"):
        for hour in range(since // 3600, (until - 1) // 3600 + 1):
            local = dt.datetime.fromtimestamp(hour * 3600, zone)
            minutes = max(0, int(received.timestamp()) - min(until, (hour + 1) * 3600)) // 60
            place = (local.date(), local.hour)
            found[place] = max(found.get(place, 0), minutes)
    now = timezone.now().astimezone(zone)
    hours = [(day, hour) for day in days for hour in range(HOURS)]
    return [found.get(place) for place in hours if place < (now.date(), now.hour)]

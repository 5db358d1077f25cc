"""Open and close alarms, and tell staff of it in the same transaction."""

from collections.abc import Mapping

from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.assets.models import MarketArea
from apps.metering.choices import AlarmKind
from apps.metering.conditions import Condition, Found
from apps.metering.fleet_notices import NOTICES
from apps.metering.models import Alarm, Device, Thresholds
from apps.notifications.services.notices import Matter, end, tell


def watch(area: MarketArea, conditions: Mapping[AlarmKind, Condition]) -> None:
    """Ask each condition, and open and close the area's alarms accordingly."""
    limits = Thresholds.objects.filter(area=area).first() or Thresholds(area=area)
    for kind, condition in conditions.items():
        _settle(area, kind, condition(area, limits))


@transaction.atomic
def _settle(area: MarketArea, kind: AlarmKind, found: Found) -> None:
    # One after another, so that none is opened twice.
    MarketArea.objects.select_for_update(no_key=True).get(pk=area.pk)
    standing = dict(Alarm.objects.filter(device__area=area, kind=kind, closed_at=None).values_list("device", "pk"))
    _open(area, kind, {device: values for device, values in found.items() if device not in standing})
    over = {device: alarm for device, alarm in standing.items() if device not in found}
    Alarm.objects.filter(pk__in=over.values()).update(closed_at=timezone.now())
    end(NOTICES[kind], [_about(device) for device in over])


def _open(area: MarketArea, kind: AlarmKind, found: Found) -> None:
    now = timezone.now()
    names = dict(Device.objects.filter(pk__in=found).values_list("pk", "name"))
    Alarm.objects.bulk_create(
        Alarm(device_id=device, kind=kind, values=values, opened_at=now) for device, values in found.items()
    )
    matters = [
        Matter(
            area.utility_id,
            _about(device),
            {"device": names[device], "area": area.name, **values},
            reverse("portal:fleet_box", args=[device]),
        )
        for device, values in found.items()
    ]
    tell(NOTICES[kind], matters)


def _about(device: int) -> str:
    return f"device {device}"


def acknowledge(alarm: Alarm, user: User) -> bool:
    """Note that somebody has seen it. False when somebody had before, or it is over."""
    standing = Alarm.objects.filter(pk=alarm.pk, closed_at=None, acknowledged_at=None)
    return bool(standing.update(acknowledged_at=timezone.now(), acknowledged_by=user))

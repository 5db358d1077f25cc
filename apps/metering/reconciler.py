"""What devices and anchors say that the ledger should hold."""

from typing import Any

from django.db.models import Prefetch, QuerySet

from apps.ledger.choices import CommandState
from apps.ledger.models import Command
from apps.ledger.reconcilers import Expected, Reconciler
from apps.metering.models import Anchor, Device, DeviceKey
from evidence.commands.kinds import AnchorReadings, RegisterDevice, RevokeDeviceKey
from ledger_adapters.contract import records
from ledger_adapters.contract.registry import device_domain
from market_math.slots import day_number


def _devices(ledger: str) -> QuerySet[Device]:
    keys = Prefetch("keys", DeviceKey.objects.order_by("pk"))
    return Device.objects.filter(owner__ledger=ledger).select_related("owner").prefetch_related(keys)


def _device(device: Device) -> Expected:
    values: dict[str, object] = {"owner": bytes(device.owner.ledger_id)}
    # The ledger keeps the current key and the one before.
    keys = list(device.keys.all())[-2:]
    for key, prefix in zip(reversed(keys), ("", "old_"), strict=False):
        values |= {f"{prefix}algorithm": key.algorithm, f"{prefix}x": bytes(key.x), f"{prefix}y": bytes(key.y)}
        values[f"{prefix}since_day"] = day_number(key.since_day) if key.since_day else 0
        if key.revoked_at is None or not _revocation_waits(device):
            values[f"{prefix}revoked"] = key.revoked_at is not None
        if key.grace_until is not None:
            values["grace_until"] = int(key.grace_until.timestamp())
    return Expected(records.Device, (bytes(device.ledger_id),), values, _of_device)


def _of_device(record: Any, name: str) -> object:
    """The ledger has the time of a revocation, which is later than ours."""
    return bool(getattr(record, f"{name}_at")) if name.endswith("revoked") else getattr(record, name)


def _revocation_waits(device: Device) -> bool:
    """A key is revoked here at once, whatever the ledger says."""
    return Command.objects.filter(
        stream__ledger=device.owner.ledger,
        stream__domain=device_domain(bytes(device.ledger_id)),
        kind=RevokeDeviceKey.KIND,
        state__in=[CommandState.QUEUED, CommandState.SENT],
    ).exists()


def _anchors(ledger: str) -> QuerySet[Anchor]:
    return Anchor.objects.filter(area__utility__ledger=ledger).select_related("area")


def _anchor(anchor: Anchor) -> Expected:
    ids = (bytes(anchor.area.ledger_id), day_number(anchor.day), bytes(anchor.root))
    return Expected(records.Anchor, ids, {"start": anchor.start, "end": anchor.end, "count": anchor.count})


RECONCILERS = (
    Reconciler("devices", Device, _devices, _device, {RegisterDevice: "command_id"}),
    Reconciler("anchors", Anchor, _anchors, _anchor, {AnchorReadings: "command_id"}),
)

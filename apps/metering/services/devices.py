"""Register devices, check what they signed, revoke their keys."""

from collections.abc import Iterable
from typing import Protocol

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.models import Party
from apps.assets.models import MarketArea, MeteringPoint
from apps.ledger.choices import LedgerState
from apps.ledger.services.enqueue import enqueue
from apps.metering.exceptions import InputRefused, Violation
from apps.metering.models import Device, DeviceKey
from evidence.commands.kinds import RegisterDevice, RevokeDeviceKey
from evidence.contents import contents
from evidence.keys import PublicKey


@transaction.atomic
def register_device(
    *, area: MarketArea, owner: Party, name: str, key: PublicKey, points: Iterable[MeteringPoint]
) -> Device:
    """Store a device with its public key and ask the ledger to register it for its owner."""
    key.check_point()
    device = Device.objects.create(area=area, owner=owner, name=name)
    measured = sorted(points, key=lambda point: bytes(point.ledger_id))
    device.points.set(measured)
    DeviceKey.objects.create(device=device, key_id=key.id, algorithm=key.algorithm, x=key.x, y=key.y)
    device.command_id = enqueue(
        RegisterDevice(
            device.ledger_id,
            bytes(owner.ledger_id),
            key.algorithm,
            key.x,
            key.y,
            contents(device.salt, {"name": name}),
            tuple(bytes(point.ledger_id) for point in measured),
        ),
        after=owner.predecessor,
        ledger=owner.ledger,
    )
    device.save(update_fields=["command_id"])
    return device


@transaction.atomic
def revoke_key(key: DeviceKey) -> None:
    """From now on nothing signed with this key is accepted."""
    end_key(key)
    enqueue(RevokeDeviceKey(bytes(key.device.ledger_id), bytes(key.key_id)), ledger=key.device.owner.ledger)


@transaction.atomic
def revoke_all(device: Device) -> None:
    """Every key with which it could still say something, here and, where the ledger has it, there."""
    standing = list(device.keys.filter(revoked_at=None).order_by("-pk").select_related("device__owner"))
    # The ledger remembers the current key and the one before; it has never heard of a device that it rejected.
    known = {key.pk for key in device.keys.order_by("-pk")[:2]}
    for key in standing:
        if key.pk in known and device.ledger_state != LedgerState.REJECTED:
            revoke_key(key)
        else:
            end_key(key)


def end_key(key: DeviceKey) -> None:
    DeviceKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())


class Said(Protocol):
    """What a device signs: it names the device and its key."""

    @property
    def device(self) -> bytes: ...

    @property
    def key(self) -> bytes: ...

    @property
    def digest(self) -> bytes: ...


def signing_key(said: Said, signature: bytes, field: str) -> DeviceKey:
    """The key of the device that signed what stands in `field`. Raises `InputRefused`."""
    found = DeviceKey.objects.select_related("device__area").filter(key_id=said.key, device__ledger_id=said.device)
    key = found.order_by().first()
    if key is None:
        raise InputRefused(
            Violation(f"{field}.key", "unknown_key", _("No such key is registered for this device.")), status=403
        )
    if key.revoked_at is not None:
        if key.public_key.verifies(said.digest, signature):
            DeviceKey.objects.filter(pk=key.pk).update(misused_at=timezone.now())
        raise InputRefused(Violation(f"{field}.key", "revoked_key", _("This key was revoked.")), status=403)
    if key.grace_until is not None and key.grace_until < timezone.now():
        message = _("This key was exchanged, and the time is over in which it was still accepted.")
        raise InputRefused(Violation(f"{field}.key", "exchanged_key", message), status=403)
    if not key.public_key.verifies(said.digest, signature):
        message = _("The signature does not fit what was said.")
        raise InputRefused(Violation("signature", "wrong_signature", message), status=403)
    return key

"""What is signed by the owners of devices or comes from the utility's staff, and what the ledger tells of it.

Both change the rows by the fields alone: it makes no difference by which way the command came to the ledger.
"""

import datetime as dt

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.accounts.models import Party
from apps.ledger.consumers import Told
from apps.ledger.exceptions import Declined, Refused
from apps.ledger.intake import fields_of
from apps.ledger.services.enqueue import enqueue_signed
from apps.metering.models import DailyReport, Device, DeviceKey
from apps.metering.services.devices import end_key
from evidence.commands import Command
from evidence.commands.kinds import ReportDailyEnergy, RevokeDeviceKey, RotateDeviceKey, TransferDevice
from evidence.keys import PublicKey
from ledger_adapters.contract import Code
from market_math.slots import day_number, day_of

# Of a rotation: how long the old key may speak about its days, and how far ahead the new one's first day may lie.
MOST_GRACE_DAYS = 400
MOST_DAYS_AHEAD = 31


@transaction.atomic
def take_revocation(command: Command, ledger: str) -> None:
    """As on the pages: nothing signed with the key is accepted from now on, whatever the ledger will say."""
    fields = fields_of(command, RevokeDeviceKey)
    key = _keys(fields, ledger).first()
    if key is None:
        raise Refused(Code.KEY_UNKNOWN)
    end_key(key)
    enqueue_signed(command, ledger=ledger)


def hear_revocation(told: Told) -> None:
    for key in _keys(told.fields, told.ledger):
        end_key(key)
    _keys(told.fields, told.ledger).update(revocation_id=told.id)


@transaction.atomic
def take_rotation(command: Command, ledger: str) -> None:
    """The new key counts once the ledger has applied it."""
    fields = fields_of(command, RotateDeviceKey)
    device = Device.objects.select_related("area").filter(ledger_id=fields.device, owner__ledger=ledger).first()
    if device is None:
        raise Refused(Code.DEVICE_UNKNOWN)
    if fields.grace_days > MOST_GRACE_DAYS or fields.day > day_number(device.area.today) + MOST_DAYS_AHEAD:
        raise Declined(_("A key is exchanged within a month, and the old one accepted for little more than a year."))
    enqueue_signed(command, ledger=ledger)


def hear_rotation(told: Told) -> None:
    fields: RotateDeviceKey = told.fields
    device = Device.objects.filter(ledger_id=fields.device, owner__ledger=told.ledger).first()
    key = PublicKey(fields.algorithm, fields.x, fields.y)
    if device is None or device.keys.filter(key_id=key.id).exists():
        return
    until = dt.datetime.fromtimestamp(told.time, dt.UTC) + dt.timedelta(days=fields.grace_days)
    device.keys.filter(grace_until=None).update(grace_until=until)
    device.keys.create(
        key_id=key.id,
        algorithm=key.algorithm,
        x=key.x,
        y=key.y,
        since_day=day_of(fields.day),
        rotation_id=told.id,
    )


@transaction.atomic
def take_transfer(command: Command, ledger: str) -> None:
    """The device is the next owner's once the ledger has applied it."""
    fields = fields_of(command, TransferDevice)
    if not Device.objects.filter(ledger_id=fields.device, owner__ledger=ledger).exists():
        raise Refused(Code.DEVICE_UNKNOWN)
    if not Party.objects.filter(ledger_id=fields.next_owner, ledger=ledger).exists():
        raise Declined(_("The next owner is no party of this market."))
    enqueue_signed(command, ledger=ledger)


def hear_transfer(told: Told) -> None:
    fields: TransferDevice = told.fields
    next_owner = Party.objects.filter(ledger_id=fields.next_owner, ledger=told.ledger).first()
    if next_owner is not None:
        Device.objects.filter(ledger_id=fields.device, owner__ledger=told.ledger).update(owner=next_owner)


@transaction.atomic
def take_report(command: Command, ledger: str) -> None:
    """It stands with the device once the ledger has applied it."""
    fields = fields_of(command, ReportDailyEnergy)
    if not Device.objects.filter(ledger_id=fields.device, owner__ledger=ledger).exists():
        raise Refused(Code.DEVICE_UNKNOWN)
    enqueue_signed(command, ledger=ledger)


def hear_report(told: Told) -> None:
    """What a device has reported stands until it corrects it."""
    fields: ReportDailyEnergy = told.fields
    device = Device.objects.filter(ledger_id=fields.device, owner__ledger=told.ledger).first()
    if device is not None:
        DailyReport.objects.update_or_create(
            device=device,
            day=day_of(fields.day),
            defaults={
                "generated": fields.generated,
                "imported": fields.imported,
                "exported": fields.exported,
                "command_id": told.id,
                "reported_at": dt.datetime.fromtimestamp(told.time, dt.UTC),
            },
        )


def _keys(fields: RevokeDeviceKey, ledger: str) -> QuerySet[DeviceKey]:
    return DeviceKey.objects.filter(key_id=fields.key, device__ledger_id=fields.device, device__owner__ledger=ledger)

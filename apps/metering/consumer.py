"""What metering does with what the ledger says."""

from apps.ledger.consumers import Consumer, Told
from apps.ledger.standing import confirm, reject
from apps.metering.intake import hear_report, hear_revocation, hear_rotation, hear_transfer
from apps.metering.models import Anchor, Batch, Device
from evidence.commands.kinds import (
    AnchorReadings,
    RegisterDevice,
    ReportDailyEnergy,
    RevokeDeviceKey,
    RotateDeviceKey,
    TransferDevice,
)


def _release(told: Told) -> None:
    """The batches of a rejected anchor are free to be claimed again."""
    Batch.objects.filter(anchor__command_id=told.id).update(anchor=None, anchor_index=None)


def _stay(told: Told) -> None:
    """A revocation holds here whatever the ledger says: its stream stays parked until somebody has looked."""


def _keep(told: Told) -> None:
    """Nothing was changed yet."""


CONSUMER = Consumer(
    name="metering",
    confirmed={
        RegisterDevice: confirm(Device),
        RevokeDeviceKey: hear_revocation,
        RotateDeviceKey: hear_rotation,
        TransferDevice: hear_transfer,
        AnchorReadings: confirm(Anchor),
        ReportDailyEnergy: hear_report,
    },
    rejected={
        RegisterDevice: reject(Device),
        RevokeDeviceKey: _stay,
        RotateDeviceKey: _keep,
        TransferDevice: _keep,
        AnchorReadings: reject(Anchor, _release),
        ReportDailyEnergy: _keep,
    },
    resumes=frozenset({RotateDeviceKey, TransferDevice, AnchorReadings, ReportDailyEnergy}),
)

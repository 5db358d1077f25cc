"""Anchors of signed readings and the daily totals that devices report themselves."""

from evidence.commands.kinds import AnchorReadings, ReportDailyEnergy
from evidence.hashing import ZERO
from ledger_adapters.contract.errors import Code, ContractError
from ledger_adapters.contract.kind import Context, Kind, Signatory, View, require
from ledger_adapters.contract.records import Anchor, DailyEnergy, Device, Domain
from ledger_adapters.contract.registry import active_device, device_domain


def _anchor(fields: AnchorReadings, view: View, context: Context) -> None:
    require(fields.start < fields.end, Code.EMPTY_WINDOW)
    require(fields.count > 0, Code.NOTHING_ANCHORED)
    ids = (fields.area, fields.day, fields.root)
    require(view.find(Anchor, *ids) is None, Code.ALREADY_ANCHORED)
    view.put(Anchor(fields.start, fields.end, fields.count, context.time), *ids)


def _reporting_key(fields: ReportDailyEnergy, view: View, context: Context) -> tuple[Signatory, ...]:
    """The current key, or the one before it when that signed; each speaks about its own days only."""
    device = view.get(Device, (fields.device,), Code.DEVICE_UNKNOWN)
    old = device.old_key
    if old is not None and context.signers == (old.id,):
        require(not device.old_revoked_at, Code.KEY_REVOKED)
        in_time = device.old_since_day <= fields.day < device.since_day and context.time <= device.grace_until
        require(in_time, Code.OUTSIDE_KEY_TIME)
        return (Signatory(old),)
    require(not device.revoked_at, Code.KEY_REVOKED)
    require(fields.day >= device.since_day, Code.OUTSIDE_KEY_TIME)
    return (Signatory(device.public_key),)


def _report(fields: ReportDailyEnergy, view: View, context: Context) -> None:
    active_device(view, fields.device)
    stands = view.find(DailyEnergy, fields.device, fields.day)
    if fields.corrects == ZERO:
        require(stands is None, Code.ALREADY_REPORTED)
    elif stands is None or stands.report != fields.corrects:
        raise ContractError(Code.NOTHING_TO_CORRECT)
    view.put(
        DailyEnergy(context.id, fields.generated, fields.imported, fields.exported, context.signers[0]),
        fields.device,
        fields.day,
    )


KINDS = (
    Kind(
        AnchorReadings,
        domain=lambda f: Domain.key(Anchor.TABLE, f.area, f.day),
        reads=lambda f: (Anchor.key(f.area, f.day, f.root),),
        rule=_anchor,
        by_utility=True,
    ),
    Kind(
        ReportDailyEnergy,
        domain=lambda f: device_domain(f.device),
        reads=lambda f: (Device.key(f.device), DailyEnergy.key(f.device, f.day)),
        rule=_report,
        signers=_reporting_key,
    ),
)

"""Who may send which command and read which record, by the rules of `apps.accounts.permissions`."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet

from apps.accounts.models import Party
from apps.accounts.permissions import Action, Viewer
from apps.assets.models import MarketArea
from apps.ledger.catalogue import SIGNED_BY, Table, needs_operator
from apps.ledger.models import Command
from apps.metering.models import Device
from apps.portal.records import SOURCES, object_of
from evidence.commands import Fields, kinds
from ledger_adapters.contract import records
from ledger_adapters.contract.records import Record

Ids = tuple[Any, ...]


def oversees(viewer: Viewer, ledger: str) -> bool:
    """Whether the viewer looks after the utility of a ledger: staff and auditors."""
    return _of_its_utility(viewer, Action.VIEW_LEDGER, ledger)


def _of_its_utility(viewer: Viewer, action: Action, ledger: str) -> bool:
    return viewer.visible(action, Party.objects.filter(ledger=ledger, utility=None), "pk").exists()


# Sending


def require_sender(viewer: Viewer, fields: Fields, ledger: str) -> None:
    """Whoever acts for one of those who sign a command may send it; what the operator signs is for the utility's staff.

    That all of them want it, their signatures say.

    Raises `PermissionDenied`, for somebody else's ids as for those that nobody has.
    """
    if needs_operator(type(fields)):
        allowed = _of_its_utility(viewer, Action.OPERATE_LEDGER, ledger)
    else:
        allowed = acts_for_signers(viewer, fields, ledger)
    if not allowed:
        raise PermissionDenied(f"person {viewer.user.pk} may not send this command")


def acts_for_signers(viewer: Viewer, fields: Fields, ledger: str) -> bool:
    """Whether the viewer acts for a party that signs a command: for a device, that is its owner."""
    members = SIGNED_BY.get(type(fields), ())
    ids = {getattr(fields, member) for member in members}
    if members == ("device",):
        devices = Device.objects.filter(ledger_id__in=ids, owner__ledger=ledger).select_related("owner")
        signers = [device.owner for device in devices]
    else:
        signers = list(Party.objects.filter(ledger_id__in=ids, ledger=ledger))
    return any(viewer.may(Action.SIGN_COMMAND, each) for each in signers)


# Reading


def may_read_command(viewer: Viewer, command: Command, fields: Fields) -> bool:
    """Whoever may see what a command is about, who acts for those who signed it, and who looks after the ledger."""
    ledger = command.stream.ledger
    if oversees(viewer, ledger) or object_of(viewer, command) is not None:
        return True
    return acts_for_signers(viewer, fields, ledger)


def may_read_record(viewer: Viewer, ledger: str, table: Table, ids: Ids, record: Record) -> bool:
    """Whoever may see what a record is about in the database, and who looks after the ledger."""
    if oversees(viewer, ledger):
        return True
    about = _ABOUT.get(table.record)
    return about is not None and about(viewer, ids, record).exists()


About = Callable[[Viewer, Ids, Any], QuerySet[Any]]


def _object(kind: type[Fields], find: Callable[[Ids, Any], dict[str, Any]]) -> About:
    """Records that are seen by whoever may open the command that registered their object."""
    source = SOURCES[kind]

    def about(viewer: Viewer, ids: Ids, record: Record) -> QuerySet[Any]:
        objects: QuerySet[Any] = source.model._default_manager.filter(**find(ids, record))
        return viewer.visible(source.action, objects, source.utility, *source.parties)

    return about


def _by_id(ids: Ids, record: Record) -> dict[str, Any]:
    return {"ledger_id": ids[0]}


def _report(viewer: Viewer, ids: Ids, record: records.DailyEnergy) -> QuerySet[Any]:
    devices = Device.objects.filter(ledger_id=ids[0])
    return viewer.visible(Action.VIEW_READINGS, devices, "area__utility", "owner")


def _auction(viewer: Viewer, ids: Ids, record: records.Auction) -> QuerySet[Any]:
    return viewer.visible(Action.VIEW_MARKET, MarketArea.objects.filter(ledger_id=record.area), "utility")


def _order(viewer: Viewer, ids: Ids, record: records.Order) -> QuerySet[Any]:
    return viewer.visible(Action.VIEW_DUES, Party.objects.filter(ledger_id=record.bidder), "utility", "pk")


_ABOUT: dict[type[Record], About] = {
    records.Participant: _object(kinds.RegisterParticipant, _by_id),
    records.Plant: _object(kinds.RegisterPlant, _by_id),
    records.Device: _object(kinds.RegisterDevice, _by_id),
    records.UsedKey: _object(kinds.RegisterDevice, _by_id),
    records.DailyEnergy: _report,
    records.Anchor: _object(kinds.AnchorReadings, lambda ids, record: {"area__ledger_id": ids[0], "root": ids[2]}),
    records.Declaration: _object(kinds.DeclareSurplus, _by_id),
    records.Offer: _object(kinds.PublishOffer, _by_id),
    records.Purchase: _object(kinds.CommitPurchase, _by_id),
    records.Settlement: _object(
        kinds.RecordSettlement, lambda ids, record: {"area__ledger_id": ids[0], "root": record.root}
    ),
    records.Invoice: _object(kinds.RecordInvoice, lambda ids, record: {"series__ledger_id": ids[1], "number": ids[2]}),
    records.Auction: _auction,
    records.Order: _order,
}

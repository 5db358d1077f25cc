"""Ledger records as people may open them: through the object that a command is about."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Model, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.accounts.choices import KeyCustody
from apps.accounts.models import Party, PartyKey
from apps.accounts.permissions import Action, Viewer
from apps.assets.models import Plant
from apps.billing.models import Invoice
from apps.ledger.ledgers import get_ledger
from apps.ledger.models import Command, OnLedger
from apps.ledger.services.status import standing_of
from apps.metering.models import Anchor, Device, DeviceKey
from apps.offers.models import Declaration, Offer, Purchase
from apps.portal.links import invoice_url, offer_url, point_url, purchase_url, record_url
from apps.settlement.models import Settlement
from apps.web.components import LedgerSeal, SealState
from evidence import commands
from evidence.commands import kinds
from evidence.hashing import ZERO


@dataclass(frozen=True, slots=True)
class Source:
    """Where the object of a command is found, and the action that lets a person see it."""

    title: str | Promise
    model: type[Model]
    action: Action
    utility: str
    parties: tuple[str, ...] = ()
    command: str = "command_id"


_OFFER = (Offer, Action.VIEW_MARKET, "declaration__area__utility", ("declaration__seller",))
_DEVICE_KEY = (Action.VIEW_METERING_POINT, "device__area__utility", ("device__owner",))

SOURCES: dict[type[kinds.Fields], Source] = {
    kinds.RegisterParticipant: Source(_("Participant registered"), Party, Action.VIEW_PARTY, "utility", ("pk",)),
    kinds.RotateParticipantKey: Source(
        _("Signing key changed"), PartyKey, Action.VIEW_PARTY, "party__utility", ("party",)
    ),
    kinds.RegisterPlant: Source(_("Plant registered"), Plant, Action.VIEW_METERING_POINT, "area__utility", ("owner",)),
    kinds.RegisterDevice: Source(
        _("Meter registered"), Device, Action.VIEW_METERING_POINT, "area__utility", ("owner",)
    ),
    kinds.RotateDeviceKey: Source(_("Key of a meter changed"), DeviceKey, *_DEVICE_KEY, command="rotation_id"),
    kinds.RevokeDeviceKey: Source(_("Key of a meter revoked"), DeviceKey, *_DEVICE_KEY, command="revocation_id"),
    kinds.AnchorReadings: Source(_("Readings anchored"), Anchor, Action.VIEW_MARKET, "area__utility"),
    kinds.DeclareSurplus: Source(_("Surplus declared"), Declaration, Action.VIEW_MARKET, "area__utility", ("seller",)),
    kinds.PublishOffer: Source(_("Offer published"), *_OFFER),
    kinds.CommitPurchase: Source(
        _("Energy bought"),
        Purchase,
        Action.VIEW_DUES,
        "offer__declaration__area__utility",
        ("buyer", "offer__declaration__seller"),
    ),
    kinds.WithdrawOffer: Source(_("Offer withdrawn"), *_OFFER, command="closing_id"),
    kinds.CloseOffer: Source(_("Offer closed"), *_OFFER, command="closing_id"),
    kinds.RecordSettlement: Source(_("Day settled"), Settlement, Action.VIEW_MARKET, "area__utility"),
    kinds.RecordInvoice: Source(_("Invoice recorded"), Invoice, Action.VIEW_INVOICE, "area__utility", ("party",)),
}

TITLES: dict[int, str | Promise] = {kind.KIND: source.title for kind, source in SOURCES.items()}


def kind_title(kind: int) -> str:
    """What a kind of command does, in words; its number for the kinds that nothing here sends."""
    return str(TITLES.get(kind, _("Kind %(number)s") % {"number": kind}))


def object_of(viewer: Viewer, command: Command) -> Model | None:
    """What a command is about, if the viewer may see it."""
    kind = kinds.KINDS.get(command.kind)
    source = SOURCES.get(kind) if kind else None
    if source is None:
        return None
    objects: QuerySet[Any] = source.model._default_manager.filter(**{source.command: bytes(command.command_id)})
    return viewer.visible(source.action, objects, source.utility, *source.parties).first()


def seals(command_ids: Iterable[bytes | None], *, linked: bool = True) -> dict[bytes, LedgerSeal]:
    """The seals of many commands, in one query; links where the viewer may open the record."""
    wanted = [bytes(command_id) for command_id in command_ids if command_id]
    if not wanted:
        return {}
    found = Command.objects.filter(command_id__in=wanted).defer("envelope").select_related("stream")
    return {bytes(command.command_id): seal_of(command, linked=linked) for command in found}


def seals_of(objects: Sequence[OnLedger], *, linked: bool = True) -> list[LedgerSeal | None]:
    """The seals of a list of objects in its order, in one query; None for what was never sent to a ledger."""
    by_id = seals((thing.command_id for thing in objects), linked=linked)
    return [by_id.get(bytes(thing.command_id)) if thing.command_id else None for thing in objects]


def seal_of(command: Command, *, linked: bool = True) -> LedgerSeal:
    stands = standing_of(command)
    ledger = get_ledger(command.stream.ledger)
    return LedgerSeal(
        SealState(stands.state),
        entry=None if stands.entry is None else ledger.entries_before(stands.entry),
        in_block=ledger.in_blocks,
        since=_since(command),
        reason=stands.reason,
        href=record_url(command.command_id) if linked else "",
    )


def _since(command: Command) -> datetime:
    if command.ledger_time is None:
        return command.created_at
    return datetime.fromtimestamp(command.ledger_time, UTC)


def object_url(thing: Model) -> str:
    """The page of what a command is about; empty where there is none."""
    match thing:
        case Offer():
            return offer_url(thing.pk)
        case Purchase():
            return purchase_url(thing.pk)
        case Invoice():
            return invoice_url(thing)
        case Plant():
            return point_url(thing.point)
        case _:
            return ""


def zone_of(thing: Model) -> ZoneInfo:
    """The time zone in which people read about it."""
    match thing:
        case Offer():
            return thing.declaration.area.zone
        case Purchase():
            return thing.offer.declaration.area.zone
        case Plant() | Device() | Anchor() | Declaration() | Settlement() | Invoice():
            return thing.area.zone
        case _:
            return ZoneInfo("UTC")


def fields_of(command: Command) -> list[tuple[str, str]]:
    """The fields as the ledger has them, by name: bytes in short hexadecimal form, integers as they are."""
    signed = commands.Command.from_bytes(bytes(command.envelope))
    names = [name for name in type(signed.fields).__annotations__ if name != "KIND"]
    values: list[tuple[str, bytes | int]] = [(name, getattr(signed.fields, name)) for name in names]
    if signed.after != ZERO:
        values.append(("after", signed.after))
    if signed.valid_until:
        values.append(("valid_until", signed.valid_until))
    return [(name, short(value) if isinstance(value, bytes) else str(value)) for name, value in values]


def short(value: bytes) -> str:
    """Enough of a digest to compare it by eye."""
    text = value.hex()
    return text if len(text) <= 24 else f"{text[:12]}…{text[-8:]}"


@dataclass(frozen=True, slots=True)
class SignedBy:
    """A signature of a person or device. `name` only where the viewer may know it."""

    key: str
    name: str
    custodial: bool


def signatures_of(command: Command, viewer: Viewer) -> list[SignedBy]:
    """Who signed a command, beside the operator, who signs every batch."""
    signed = commands.Command.from_bytes(bytes(command.envelope))
    ids = [key for key, _signature in signed.signatures]
    people = {bytes(key.key_id): key for key in PartyKey.objects.filter(key_id__in=ids).select_related("party")}
    devices = {
        bytes(key.key_id): key for key in DeviceKey.objects.filter(key_id__in=ids).select_related("device__area")
    }
    found = []
    for key_id in ids:
        name, custodial = "", False
        if (person := people.get(key_id)) is not None:
            custodial = person.custody == KeyCustody.CUSTODIAL
            name = person.party.name if viewer.may(Action.VIEW_DUES, person.party) else ""
        elif (device := devices.get(key_id)) is not None:
            name = device.device.name if viewer.may(Action.VIEW_METERING_POINT, device.device) else ""
        found.append(SignedBy(short(key_id), name, custodial))
    return found

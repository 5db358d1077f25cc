"""Take measure documents: keep what they say of a device, and store their readings as those of its metering point."""

import hashlib
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.models import ApiClient, Party, PartyKey
from apps.assets.models import MeteringPoint
from apps.metering.choices import ImportState, SourceKey
from apps.metering.exceptions import InputRefused, Violation
from apps.metering.formats.base import Broken, Content, Reading, Refused, Sample
from apps.metering.formats.measures import Document, read_document
from apps.metering.formats.slots import differences
from apps.metering.models import Device, MeasureDevice, ReadingImport
from apps.metering.services.devices import signing_key
from apps.metering.services.files import Sender, report_of
from apps.metering.services.intake import Checked, check_content, store_part
from evidence import boxes
from evidence.readings import Quality, Register

# Under this code a document's own samples stand until its metering point is known.
_OWN = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a document: `described`, `stored` or `known`. Counts are readings.

    `gaps` are silences of counters, whose energy is in no slot.
    """

    status: str
    stored: int = 0
    identical: int = 0
    gaps: int = 0


def sender_of(said: boxes.Document, signature: bytes, body: bytes) -> Device:
    """The device that signed a document. Raises `InputRefused`."""
    key = signing_key(said, signature, "document")
    if said.body != boxes.body_hash(body):
        message = _("What was signed is another document.")
        raise InputRefused(Violation("document.body", "wrong_body", message), status=403)
    return key.device


def take_from_device(device: Device, body: bytes, content: Any) -> Taken:
    """Take a document that a device signed. Raises `InputRefused`."""
    return _take(device.area.utility, body, content, Sender(device=device))


def take_from_client(client: ApiClient, body: bytes, content: Any) -> Taken:
    """Take a document that a program of the utility sent. Raises `InputRefused`."""
    return _take(client.utility, body, content, Sender(client=client))


def _take(utility: Party, body: bytes, content: Any, sender: Sender) -> Taken:
    """Readings whole or not at all; what the document says of the device stays. Raises `InputRefused`."""
    try:
        document = read_document(content, _OWN)
    except Broken as broken:
        raise InputRefused(Violation(broken.field, broken.rule, broken.message)) from None
    if document.content.problems:
        raise InputRefused(*_violations(document.content.problems))
    device = _described(utility, document, sender)
    if not document.has_readings:
        return Taken("described")
    if device.point is None:
        message = _("Nobody said yet at which metering point this device is.")
        raise InputRefused(Violation("id", "no_point", message), status=409)
    digest = hashlib.sha256(body).digest()
    with transaction.atomic():
        device = (
            MeasureDevice.objects.select_for_update(of=("self",))
            .select_related("utility", "point__area")
            .get(pk=device.pk)
        )
        taken = ReadingImport.objects.filter(
            area=_point_of(device).area, source=SourceKey.MEASURES, reference=digest.hex(), state=ImportState.STORED
        )
        if taken.exists():
            return Taken("known")
        return _store(device, document, body, digest, sender)


def _described(utility: Party, document: Document, sender: Sender) -> MeasureDevice:
    """The device with what the document says of it. Raises `InputRefused` for one that another sender spoke for."""
    device, is_new = MeasureDevice.objects.get_or_create(
        utility=utility, identifier=document.identifier, defaults={"device": sender.device}
    )
    if device.device_id != (sender.device.pk if sender.device else None):
        message = _("This device is another sender's.")
        raise InputRefused(Violation("id", "other_sender", message), status=403)
    if is_new and sender.device is not None:
        device.point = _point_at(sender.device, document.identifier)
    device.name, device.description = document.name, document.description
    device.last_contact = timezone.now()
    device.save(update_fields=["name", "description", "last_contact", "point"])
    return device


def _point_at(device: Device, identifier: str) -> MeteringPoint | None:
    """The point of the box that a document is named after, or its only one."""
    points = {bytes(point.ledger_id).hex(): point for point in device.points.distinct()}
    return points.get(identifier) or (next(iter(points.values())) if len(points) == 1 else None)


def _store(device: MeasureDevice, document: Document, body: bytes, digest: bytes, sender: Sender) -> Taken:
    point, content = _point_of(device), document.content
    content.samples = {(point.code, register): found for (_code, register), found in content.samples.items()}
    for register, readings in document.counters.items():
        samples = _advance(device, register, readings, content)
        content.samples.setdefault((point.code, register), []).extend(samples)
    checked = check_content(point.area, SourceKey.MEASURES, content)
    if checked.bad:
        raise InputRefused(*_violations(checked.problems))
    delivery = _delivery(device, checked, body, digest, sender)
    try:
        for part in checked.parts:
            store_part(device.utility, part, delivery)
    except PartyKey.DoesNotExist:
        message = _("%(utility)s has no key here that could sign an import.") % {"utility": device.utility}
        raise InputRefused(Violation("", "no_key", message), status=409) from None
    device.save(update_fields=["counters"])
    return Taken("stored", checked.new, checked.identical, content.skipped["gap"])


def _advance(device: MeasureDevice, register: Register, readings: list[Reading], content: Content) -> list[Sample]:
    """What a counter counted since it was last heard of; keeps how it stands now. Raises `InputRefused`.

    After a long silence nobody knows how its energy lies in the slots: that is counted as skipped, and counting goes on
    from here.
    """
    seconds = _point_of(device).area.slot_seconds
    off = [reading for reading in readings if reading.instant % seconds]
    if off:
        message = _("A counter is read at the start of a slot.")
        raise InputRefused(Violation(f"measures[{off[0].line - 1}].date", "off_the_grid", message))
    last = device.counters.get(str(int(register)))
    if last is not None:
        instant, ticks = int(last[0]), int(last[1])
        early = [reading for reading in readings if reading.instant < instant]
        if early:
            message = _("The counter was read later already.")
            raise InputRefused(Violation(f"measures[{early[0].line - 1}].date", "not_rising", message), status=409)
        readings = [Reading(0, instant, ticks, Quality.TRUE_VALUE), *_changed(readings, instant, ticks)]
    samples, problems = differences(readings)
    refusals = [(line, refused) for line, refused in problems if refused.rule != "too_long"]
    content.skipped["gap"] += len(problems) - len(refusals)
    if refusals:
        raise InputRefused(*(_violation(line, refused) for line, refused in refusals))
    newest = max(readings, key=lambda reading: reading.instant)
    device.counters[str(int(register))] = [newest.instant, str(newest.ticks)]
    return samples


def _changed(readings: list[Reading], instant: int, ticks: int) -> list[Reading]:
    """Without the reading that was kept as the last one."""
    return [reading for reading in readings if (reading.instant, reading.ticks) != (instant, ticks)]


def _delivery(device: MeasureDevice, checked: Checked, body: bytes, digest: bytes, sender: Sender) -> ReadingImport:
    return ReadingImport.objects.create(
        area=_point_of(device).area,
        source=SourceKey.MEASURES,
        name=str(device)[:200],
        reference=digest.hex(),
        sha256=digest,
        size=len(body),
        client=sender.client,
        device=sender.device,
        state=ImportState.STORED,
        report=report_of(checked),
        total=len(checked.parts),
        done=len(checked.parts),
        stored=checked.new,
        finished_at=timezone.now(),
    )


def _point_of(device: MeasureDevice) -> MeteringPoint:
    if device.point is None:
        raise ValueError(f"measure device {device.pk} is at no metering point")
    return device.point


def _violations(problems: Any) -> list[Violation]:
    return [
        Violation(f"measures[{problem.line - 1}].{problem.field}".rstrip("."), problem.rule, problem.message)
        for problem in list(problems)[:20]
    ]


def _violation(line: int, refused: Refused) -> Violation:
    return Violation(f"measures[{max(line, 1) - 1}].{refused.field}", refused.rule, refused.message)

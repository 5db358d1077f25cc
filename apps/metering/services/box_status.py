"""Take what a box says about itself: only the newest stays, and whether its backlog grows."""

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.metering.exceptions import InputRefused, Violation
from apps.metering.models import BoxStatus, Device
from apps.metering.services.devices import signing_key
from evidence import canonical
from evidence.box_forms import Signed
from evidence.boxes import BoxStatus as Said
from evidence.canonical import decode_int

MOST_BYTES = 16_000
MOST_ERRORS = 50
LONGEST_TEXT = 200
LARGEST = 2**63 - 1
_REQUIRED = frozenset({"at", "version", "backlog", "refused", "errors", "free_disk"})
_OPTIONAL = frozenset({"newest", "clock_offset"})


@dataclass(frozen=True, slots=True)
class Content:
    """The body. Instants in UTC seconds; `clock_offset` in seconds as the box itself found it, None if it did not."""

    at: int
    version: str
    readings: int
    batches: int
    newest: int | None
    refused: int
    errors: tuple[str, ...]
    free_disk: int
    clock_offset: int | None


class SequenceRefused(InputRefused):
    """A later status is known; `acceptable` is a sequence that could be taken."""

    def __init__(self, acceptable: int) -> None:
        message = _("A status with this number or a later one was seen already.")
        super().__init__(Violation("status.sequence", "not_rising", message), status=409)
        self.acceptable = acceptable


def accept_status(given: Signed[Said]) -> BoxStatus:
    """Raises `InputRefused`, and `SequenceRefused` for a sequence that does not rise."""
    device = signing_key(given.said, given.signature, "status").device
    if given.said.sequence > LARGEST:
        raise InputRefused(Violation("status.sequence", "range", _("The number is too large.")))
    try:
        content = read_body(given.body)
    except ValueError as error:
        raise InputRefused(Violation("body", "format", str(error)[:LONGEST_TEXT])) from None
    with transaction.atomic():
        Device.objects.select_for_update().get(pk=device.pk)
        known = BoxStatus.objects.filter(device=device).first()
        if known is not None and known.sequence >= given.said.sequence:
            raise SequenceRefused(known.sequence + 1)
        status = _status(device, given, content, known)
        status.save()
        Device.objects.filter(pk=device.pk).update(last_contact=status.received_at)
    return status


def _status(device: Device, given: Signed[Said], content: Content, known: BoxStatus | None) -> BoxStatus:
    now = timezone.now()
    measured = content.at - int(now.timestamp())
    growing = known is not None and content.readings > known.readings
    return BoxStatus(
        pk=known.pk if known else None,
        device=device,
        sequence=given.said.sequence,
        key_id=given.said.key,
        signature=given.signature,
        body=given.body,
        received_at=now,
        version=content.version,
        readings=content.readings,
        batches=content.batches,
        growing_since=(known.growing_since or known.received_at) if known and growing else None,
        newest=content.newest,
        refused=content.refused,
        errors=list(content.errors),
        free_disk=content.free_disk,
        # What it found itself holds also where a line is slow.
        clock_offset=measured if content.clock_offset is None else content.clock_offset,
    )


def read_body(body: bytes) -> Content:
    """Raises `ValueError` that says what is wrong."""
    if len(body) > MOST_BYTES:
        raise ValueError(f"at most {MOST_BYTES} bytes")
    said = _object(canonical.loads(body), _REQUIRED, _OPTIONAL)
    backlog = _object(said["backlog"], frozenset({"readings", "batches"}))
    errors = said["errors"]
    if not isinstance(errors, list) or len(errors) > MOST_ERRORS:
        raise ValueError(f"errors: at most {MOST_ERRORS} texts")
    return Content(
        at=_count(said["at"]),
        version=_text(said["version"], 50),
        readings=_count(backlog["readings"]),
        batches=_count(backlog["batches"]),
        newest=_count(said["newest"]) if "newest" in said else None,
        refused=_count(said["refused"]),
        errors=tuple(_text(error, LONGEST_TEXT) for error in errors),
        free_disk=_count(said["free_disk"]),
        clock_offset=_bounded(said["clock_offset"], -LARGEST) if "clock_offset" in said else None,
    )


def _object(value: Any, required: frozenset[str], optional: frozenset[str] = frozenset()) -> dict[str, Any]:
    if not isinstance(value, dict) or not required <= set(value) <= required | optional:
        raise ValueError(f"an object with these members is expected: {', '.join(sorted(required))}")
    return value


def _count(value: object) -> int:
    return _bounded(value, 0)


def _bounded(value: object, least: int) -> int:
    number = decode_int(value)
    if not least <= number <= LARGEST:
        raise ValueError(f"{number} is out of range")
    return number


def _text(value: object, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest or "\0" in value:
        raise ValueError(f"a text of at most {longest} characters is expected")
    return value

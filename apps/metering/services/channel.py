"""The channel that boxes open: what they ask for, what they get, and what they answer."""

import json
from itertools import takewhile

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.metering.answers import hand_on
from apps.metering.choices import InstructionState
from apps.metering.doorbell import DOORBELL
from apps.metering.exceptions import InputRefused, Violation
from apps.metering.models import Device, Instruction
from apps.metering.services.devices import signing_key
from evidence.box_forms import Signed
from evidence.boxes import AnswerState, ChannelPoll, InstructionAnswer
from evidence.canonical import check_depth

LARGEST_LEAD = 600  # seconds that a device's clock may be ahead
MOST_AT_ONCE = 10
MOST_ANSWER_BYTES = 64_000


class ClockRefused(InputRefused):
    """The number of a poll cannot be taken. `acceptable` is one that could be."""

    def __init__(self, violation: Violation, acceptable: int) -> None:
        super().__init__(violation, status=409)
        self.acceptable = acceptable


def take_poll(poll: ChannelPoll, signature: bytes) -> Device:
    """The device that polls; each poll counts once. Raises `InputRefused`, and `ClockRefused` for its number."""
    device = signing_key(poll, signature, "poll").device
    now = timezone.now()
    milliseconds = int(now.timestamp() * 1000)
    if poll.at > milliseconds + LARGEST_LEAD * 1000:
        message = _("The clock of the device is ahead by more than ten minutes.")
        raise ClockRefused(Violation("poll.at", "clock_ahead", message), milliseconds)
    rising = Device.objects.filter(pk=device.pk, polled_at__lt=poll.at)
    if not rising.update(polled_at=poll.at, last_contact=now):
        last = Device.objects.values_list("polled_at", flat=True).get(pk=device.pk)
        message = _("A poll with this number or a later one was seen already.")
        raise ClockRefused(Violation("poll.at", "not_rising", message), max(milliseconds, last + 1))
    received = device.instructions.filter(sequence__lte=poll.sequence, received_at=None)
    received.update(received_at=now)
    return device


def instructions_for(device: Device, after: int) -> list[Instruction]:
    """What the device has not answered and may begin now, in order. One that may begin later holds back the rest."""
    now = timezone.now().timestamp()
    waiting = device.instructions.filter(state=InstructionState.PENDING, sequence__gt=after, until__gt=now)
    found = waiting.order_by("sequence").select_related("device")[:MOST_AT_ONCE]
    return list(takewhile(lambda instruction: instruction.since <= now, found))


def wait_for_instructions(device: Device, after: int, seconds: float, most_waiting: int) -> list[Instruction]:
    """As `instructions_for`, but waits for the first one. Raises `NoRoom` when too many wait in this process."""
    found = instructions_for(device, after)
    if found or not seconds:
        return found
    with DOORBELL.waiting(device.pk, most_waiting) as rung:
        found = instructions_for(device, after)
        if found:
            return found
        if not connection.in_atomic_block:
            # Whoever waits needs no connection meanwhile.
            connection.close()
        rung.wait(seconds)
    return instructions_for(device, after)


@transaction.atomic
def accept_answer(answer: Signed[InstructionAnswer]) -> bool:
    """Store what a device answers. False when just this was answered before. Raises `InputRefused`."""
    said = answer.said
    key = signing_key(said, answer.signature, "answer")
    found = Instruction.objects.select_for_update().filter(device=key.device, sequence=said.sequence).first()
    if found is None or found.said.digest != said.instruction:
        message = _("The device was not told this.")
        raise InputRefused(Violation("answer.instruction", "unknown_instruction", message), status=404)
    _check_body(answer)
    if found.state != InstructionState.PENDING:
        if (found.state, found.answer_at, bytes(found.answer or b"")) != (said.state, said.at, answer.body):
            message = _("The instruction was answered otherwise before.")
            raise InputRefused(Violation("answer", "answered_otherwise", message), status=409)
        return False
    found.state = said.state
    found.answer, found.answer_key, found.answer_at = answer.body, said.key, said.at
    found.answer_signature = answer.signature
    found.answered_at = timezone.now()
    found.received_at = found.received_at or found.answered_at
    found.save()
    Device.objects.filter(pk=key.device.pk).update(last_contact=found.answered_at)
    hand_on(found)
    return True


def _check_body(answer: Signed[InstructionAnswer]) -> None:
    if answer.said.state not in list(AnswerState):
        raise InputRefused(Violation("answer.state", "unknown_state", _("There is no such state.")))
    message = _("The body is a JSON object of bounded size.")
    violation = Violation("body", "format", message)
    if len(answer.body) > MOST_ANSWER_BYTES:
        raise InputRefused(violation)
    try:
        text = answer.body.decode()
        check_depth(text)
        content = json.loads(text)
    except ValueError:
        raise InputRefused(violation) from None
    if not isinstance(content, dict):
        raise InputRefused(violation)

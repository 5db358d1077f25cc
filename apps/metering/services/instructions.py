"""Tell a device what to do: signed by its utility, in an order of its own, with an end."""

import json
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.services.parties import signer_of
from apps.metering.doorbell import ring
from apps.metering.models import Device, Instruction
from evidence import boxes

# How long a device may be away and still begin what it was told.
DEFAULT_SECONDS = 7 * 24 * 3600


@transaction.atomic
def instruct(
    device: Device,
    kind: boxes.InstructionKind,
    body: Mapping[str, Any],
    *,
    since: int | None = None,
    until: int | None = None,
    by: User | None = None,
) -> Instruction:
    """Store an instruction that the device may begin from `since` (now) until `until` (a week later), UTC seconds."""
    Device.objects.select_for_update().get(pk=device.pk)
    last = device.instructions.order_by("-sequence").values_list("sequence", flat=True).first()
    key = signer_of(device.area.utility)
    begin = int(timezone.now().timestamp()) if since is None else since
    instruction = Instruction(
        device=device,
        sequence=(last or 0) + 1,
        kind=kind,
        since=begin,
        until=begin + DEFAULT_SECONDS if until is None else until,
        issuer=key.public_key.id,
        given_by=by,
    )
    instruction.body = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
    instruction.signature = key.sign(instruction.said.digest)
    instruction.save()
    ring(device.pk)
    return instruction

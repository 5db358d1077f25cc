"""A box of the small market that polls and answers."""

import itertools
import json
import time
from dataclasses import dataclass, field
from typing import Any

from django.test import Client

from apps.accounts.models import PartyKey
from apps.accounts.services.parties import _new_key
from apps.metering.models import Instruction
from evidence.box_forms import Signed
from evidence.boxes import AnswerState, ChannelPoll, InstructionAnswer, body_hash
from evidence.canonical import encode_bytes
from evidence.keys import SoftwareKey
from tests.metering.head_end import HeadEnd, make_head_end

URL = "/api/v1/box-channel"
_counter = itertools.count(1)


def make_channel() -> HeadEnd:
    made = make_head_end()
    _new_key(made.area.utility)
    return made


def utility_key(head_end: HeadEnd) -> PartyKey:
    return head_end.area.utility.keys.get()


@dataclass
class Box:
    """Its clock is the server's, and goes on by a millisecond with each poll at least."""

    device: bytes
    key: SoftwareKey
    sequence: int = 0
    client: Client = field(default_factory=Client)

    @classmethod
    def of(cls, head_end: HeadEnd) -> "Box":
        return cls(bytes(head_end.device.ledger_id), head_end.key)

    def next_number(self) -> int:
        return int(time.time() * 1000) + next(_counter)

    def credentials(self, at: int | None = None, **change: Any) -> str:
        said: dict[str, Any] = {"device": self.device, "key": self.key.public_key.id, "sequence": self.sequence}
        poll = ChannelPoll(**(said | {"at": at or self.next_number()} | change))
        return "Box " + encode_bytes(poll.encode() + self.key.sign(poll.digest))

    def poll(self, wait: int = 0, *, credentials: str | None = None) -> Any:
        headers = {"Authorization": credentials or self.credentials()}
        return self.client.get(f"{URL}?wait={wait}", headers=headers)

    def answer(
        self, given: Instruction, state: int = AnswerState.DONE, body: bytes = b"{}", **change: Any
    ) -> dict[str, Any]:
        said: dict[str, Any] = {
            "device": self.device,
            "key": self.key.public_key.id,
            "sequence": given.sequence,
            "instruction": given.said.digest,
            "state": state,
            "at": 1_780_000_000,
            "body": body_hash(body),
        }
        answer = InstructionAnswer(**(said | change))
        return Signed(answer, self.key.sign(answer.digest), body).as_json("answer")

    def post(self, answer: dict[str, Any]) -> Any:
        return self.client.post(URL, json.dumps(answer), content_type="application/json")

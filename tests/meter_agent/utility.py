"""A utility of few lines: it signs instructions, hands them out over HTTP, and keeps what comes back."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from evidence.box_forms import Signed, read_signed
from evidence.boxes import ChannelPoll, Instruction, InstructionAnswer, InstructionKind, body_hash
from evidence.canonical import decode_bytes
from evidence.commands import Command
from evidence.commands.kinds import RotateDeviceKey
from evidence.keys import PublicKey, SoftwareKey
from ledger_adapters.contract import Code
from tests.meter_agent.support import DEVICE, KEY

UTILITY = SoftwareKey.generate()
WALL = 1_781_089_200
POLL_BYTES = 128


def told(
    kind: int, body: Any = None, sequence: int = 1, *, key: SoftwareKey = UTILITY, **change: Any
) -> dict[str, Any]:
    """A signed instruction as JSON, good from an hour before `WALL` until an hour after it unless changed."""
    content = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    said: dict[str, Any] = {
        "device": DEVICE,
        "issuer": key.public_key.id,
        "sequence": sequence,
        "kind": int(kind),
        "since": WALL - 3600,
        "until": WALL + 3600,
        "body": body_hash(content),
    }
    instruction = Instruction(**(said | change))
    return Signed(instruction, key.sign(instruction.digest), content).as_json("instruction")


@dataclass
class Utility:
    """`script`: what to do with the next requests instead of answering as usual: a status, or "hang up"."""

    device_key: PublicKey = KEY.public_key
    instructions: list[dict[str, Any]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    polls: list[ChannelPoll] = field(default_factory=list)
    script: list[Any] = field(default_factory=list)
    next_keys: list[PublicKey] = field(default_factory=list)
    address: str = ""

    def key_of(self, key: bytes) -> PublicKey:
        """One of the keys that the device has had."""
        (found,) = [each for each in (self.device_key, *self.next_keys) if each.id == key]
        return found

    def tell(self, kind: InstructionKind, body: Any = None, **change: Any) -> int:
        sequence = len(self.instructions) + 1
        now = int(time.time())
        within = {"since": now - 5, "until": now + 600}
        self.instructions.append(told(kind, body, sequence, **(within | change)))
        return sequence

    def pending(self, after: int) -> list[dict[str, Any]]:
        answered = {answer["answer"]["sequence"] for answer in self.answers}
        return [
            each
            for each in self.instructions
            if int(each["instruction"]["sequence"]) > after and each["instruction"]["sequence"] not in answered
        ]

    def take_poll(self, header: str) -> ChannelPoll:
        content = decode_bytes(header.removeprefix("Box "))
        poll = ChannelPoll.decode(content[:POLL_BYTES])
        assert self.key_of(poll.key).verifies(poll.digest, content[POLL_BYTES:])
        assert poll.device == DEVICE
        assert all(earlier.at < poll.at for earlier in self.polls)
        self.polls.append(poll)
        return poll

    def take_answer(self, body: bytes) -> str:
        answer = json.loads(body)
        signed = read_signed(InstructionAnswer, "answer", answer)
        assert self.key_of(signed.said.key).verifies(signed.said.digest, signed.signature)
        known = [each for each in self.answers if each["answer"]["sequence"] == answer["answer"]["sequence"]]
        if known:
            assert known == [answer], "one instruction was answered twice, and not alike"
            return "known"
        self.answers.append(answer)
        return "stored"

    def take_rotation(self, body: bytes) -> str:
        """The word of a ledger that applies everything."""
        fields = Command.from_bytes(decode_bytes(json.loads(body)["envelope"])).fields
        assert isinstance(fields, RotateDeviceKey)
        self.next_keys.append(PublicKey(fields.algorithm, fields.x, fields.y))
        return str(int(Code.APPLIED))

    def said(self, sequence: int) -> tuple[int, dict[str, Any]]:
        """State and body of the answer to an instruction."""
        (found,) = [each for each in self.answers if each["answer"]["sequence"] == str(sequence)]
        return int(found["answer"]["state"]), json.loads(decode_bytes(found["body"]))

    def wait_for(self, sequence: int, seconds: float = 30) -> tuple[int, dict[str, Any]]:
        deadline = time.monotonic() + seconds
        while str(sequence) not in {each["answer"]["sequence"] for each in self.answers}:
            assert time.monotonic() < deadline, f"no answer to {sequence}"
            time.sleep(0.02)
        return self.said(sequence)


class Handler(BaseHTTPRequestHandler):
    utility: Utility
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if not self.follow_script():
            after = self.utility.take_poll(self.headers["Authorization"]).sequence
            # As the real one, but no longer than a test may take.
            deadline = time.monotonic() + min(0.3, int(self.path.partition("wait=")[2]))
            while not (found := self.utility.pending(after)) and time.monotonic() < deadline:
                time.sleep(0.01)
            self.reply(200 if found else 204, {"instructions": found} if found else None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/v1/key-rotations":
            self.reply(202, {"code": self.utility.take_rotation(body)})
        elif not self.follow_script():
            self.reply(200, {"sequence": "", "status": self.utility.take_answer(body)})

    def follow_script(self) -> bool:
        if not self.utility.script:
            return False
        order = self.utility.script.pop(0)
        if order == "hang up":
            self.close_connection = True
        else:
            self.reply(*order)
        return True

    def reply(self, status: int, content: object = None, headers: dict[str, str] | None = None) -> None:
        text = b"" if content is None else json.dumps(content).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
            if status != 204:
                self.send_header("Content-Length", str(len(text)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)
        except ConnectionError:
            pass  # nobody waits any more

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True


@contextmanager
def running_utility(device_key: PublicKey = KEY.public_key) -> Iterator[Utility]:
    utility = Utility(device_key)
    with Server(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"utility": utility})) as server:
        utility.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield utility
        finally:
            server.shutdown()
            thread.join()

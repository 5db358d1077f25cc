"""The program of a box, as a process of its own, against the real head-end: told, killed, told again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.utils import timezone

from apps.metering.choices import InstructionState
from apps.metering.doorbell import DOORBELL
from apps.metering.models import Instruction
from apps.metering.services.instructions import instruct
from evidence.boxes import InstructionKind, body_hash, text_digest
from evidence.canonical import decode_bytes
from evidence.keys import SoftwareKey
from tests.meter_agent.slave import Slave, running_slave
from tests.metering.channel import make_channel, utility_key
from tests.metering.head_end import HeadEnd

ROOT = Path(__file__).parents[2]
KIND = InstructionKind
RESTART = 75


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def settings(head_end: HeadEnd, server: str, slave: Slave) -> str:
    key = utility_key(head_end).public_key
    return f"""
device = "{bytes(head_end.device.ledger_id).hex()}"
key_file = "key/device.pem"
server = "{server}"
time_zone = "Europe/Berlin"
journal = "journal.sqlite"
poll_seconds = 1
trusted = [{{ algorithm = 1, x = "{key.x.hex()}", y = "{key.y.hex()}" }}]

[[points]]
id = "{bytes(head_end.points[0].ledger_id).hex()}"
secret = "{bytes(32).hex()}"
grid = {{ host = "127.0.0.1", port = 9, unit = 1, map = "sunspec203" }}

[channel]
wait_seconds = 25

[local_api]
port = {free_port()}
token_file = "api.token"

[[plants]]
name = "battery"
host = "127.0.0.1"
port = {slave.port}
set_power = {{ address = 100, number = "int32" }}
measured = {{ address = 100, number = "int32" }}
minimum_w = -5000
maximum_w = 5000
ramp_w_per_minute = 600000
failsafe_w = 0

[[outputs]]
name = "boiler"
host = "127.0.0.1"
port = {slave.port}
coil = 3
failsafe = false
longest_minutes = 10
"""


class Agent:
    """A folder with settings and key, and the process that runs with them."""

    def __init__(self, folder: Path, text: str, key: SoftwareKey) -> None:
        self.folder = folder
        (folder / "agent.toml").write_text(text)
        (folder / "key").mkdir(mode=0o700)
        private = ec.derive_private_key(int.from_bytes(key.secret, "big"), ec.SECP256R1())
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with os.fdopen(os.open(folder / "key" / "device.pem", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(pem)
        self.log = (folder / "agent.log").open("wb")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "meter_agent", "--verbose", "run", "--config", "agent.toml"],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=self.log,
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def ask(self, method: str, path: str, **request: Any) -> Any:
        """The local API."""
        text = (self.folder / "agent.toml").read_text()
        port = text.partition("[local_api]\nport = ")[2].partition("\n")[0]
        token = (self.folder / "api.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.request(method, f"http://127.0.0.1:{port}{path}", headers=headers, **request).json()

    @property
    def said(self) -> str:
        return (self.folder / "agent.log").read_text()


@pytest.fixture
def slave() -> Iterator[Slave]:
    with running_slave() as running:
        yield running


@pytest.fixture
def head_end(transactional_db: None) -> HeadEnd:
    return make_channel()


@pytest.fixture
def agent(live_server: Any, head_end: HeadEnd, slave: Slave, tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path, settings(head_end, live_server.url, slave), head_end.key)
    yield made
    with suppress(ProcessLookupError):
        made.process.kill()
    made.process.wait()
    made.log.close()
    DOORBELL.close()


def fate(instruction: Instruction, seconds: float = 20) -> tuple[int, str]:
    """State and body of the answer, once it is there."""
    deadline = time.monotonic() + seconds
    while instruction.state == InstructionState.PENDING:
        assert time.monotonic() < deadline, "no answer"
        time.sleep(0.02)
        instruction.refresh_from_db()
    return instruction.state, bytes(instruction.answer or b"").decode()


def until_connected(head_end: HeadEnd) -> None:
    deadline = time.monotonic() + 20
    while not DOORBELL._waiting:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_box_does_what_it_is_told_within_a_second(head_end: HeadEnd, agent: Agent, slave: Slave) -> None:
    until_connected(head_end)
    begun = time.monotonic()
    told = instruct(head_end.device, KIND.OUTPUT, {"output": "boiler", "on": True, "seconds": 600})
    assert fate(told) == (InstructionState.DONE, '{"on":true,"seconds":600}')
    assert time.monotonic() - begun < 10
    assert slave.coils == {3: True}
    told = instruct(head_end.device, KIND.OUTPUT, {"output": "boiler", "on": True, "seconds": 601})
    assert fate(told) == (InstructionState.REFUSED, '{"code":"limit","longest":600,"seconds":601}')
    told = instruct(head_end.device, KIND.REREAD, {"what": "sums"})
    assert fate(told) == (InstructionState.DONE, '{"sums":[]}')
    status = agent.ask("GET", "/status")
    assert [each["sequence"] for each in status["channel"]["instructions"]] == [3, 2, 1]
    assert status["outputs"] == [{"name": "boiler", "is_safe": False}]
    assert status["plants"] == [{"name": "battery", "set": 0, "measured": 0}]
    signed = agent.ask("POST", "/sign", json={"text": "hello"})
    assert head_end.key.public_key.verifies(text_digest(b"hello"), decode_bytes(signed["signature"]))
    assert agent.end() == 0
    assert slave.coils == {3: False}


def test_a_plan_is_followed_and_goes_on_after_a_kill(head_end: HeadEnd, agent: Agent, slave: Slave) -> None:
    until_connected(head_end)
    now = int(timezone.now().timestamp())
    plan = {"plant": "battery", "end": now + 9, "steps": [[now, -3000], [now + 6, 2000]]}
    told = instruct(head_end.device, KIND.SCHEDULE, plan)
    deadline = time.monotonic() + 10
    while (100, [0xFFFF, 0xF448]) not in slave.written:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    agent.kill()
    told.refresh_from_db()
    assert told.state == InstructionState.PENDING
    agent.start()
    state, body = fate(told)
    assert (state, f'"start":{now + 6},"watts":2000,"written":true' in body) == (InstructionState.DONE, True)
    assert (100, [0, 2000]) in slave.written
    assert slave.written[-1] == (100, [0, 0])


def test_a_new_configuration_holds_in_the_same_process(head_end: HeadEnd, agent: Agent) -> None:
    until_connected(head_end)
    key = utility_key(head_end).public_key
    trusted = [{"algorithm": 1, "x": key.x.hex(), "y": key.y.hex()}]
    body = {"device": bytes(head_end.device.ledger_id).hex(), "trusted": trusted, "slot_minutes": 5}
    told = instruct(head_end.device, KIND.CONFIGURE, body)
    assert fate(told) == (InstructionState.DONE, "{}")
    deadline = time.monotonic() + 20
    while "reading 1 points every 5 minutes" not in agent.said:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert agent.process.poll() is None
    wrongs: list[dict[str, Any]] = [{"slot_minutes": 7}, {"plants": []}, {"trusted": []}, {"device": "00" * 32}]
    for wrong in wrongs:
        state, answer = fate(instruct(head_end.device, KIND.CONFIGURE, {**body, **wrong}))
        assert (state, '"code":"settings"' in answer) == (InstructionState.REFUSED, True)
    assert agent.process.poll() is None


def test_a_restart_ends_the_process_and_is_answered_by_the_next(head_end: HeadEnd, agent: Agent) -> None:
    until_connected(head_end)
    told = instruct(head_end.device, KIND.RESTART, {})
    assert agent.process.wait(20) == RESTART
    told.refresh_from_db()
    assert told.state == InstructionState.PENDING
    agent.start()
    assert fate(told) == (InstructionState.DONE, "{}")


def test_nobody_but_the_utility_is_obeyed(head_end: HeadEnd, agent: Agent, slave: Slave) -> None:
    """Whoever can write to the head-end's database has no key of the utility."""
    until_connected(head_end)
    body = b'{"on":true,"output":"boiler","seconds":60}'
    genuine = instruct(head_end.device, KIND.REREAD, {"what": "sums"})
    fate(genuine)
    forged = Instruction(
        device=head_end.device,
        sequence=2,
        kind=KIND.OUTPUT,
        since=genuine.since,
        until=genuine.until,
        issuer=genuine.issuer,
    )
    forged.body = body
    assert forged.said.body == body_hash(body)
    forged.signature = SoftwareKey.generate().sign(forged.said.digest)
    forged.save()
    deadline = time.monotonic() + 30
    while "wrong signature" not in agent.said:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    forged.refresh_from_db()
    assert (forged.state, slave.coils) == (InstructionState.PENDING, {3: False})

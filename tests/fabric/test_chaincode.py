"""The chaincode against a peer played by the test (a border test): limits, errors and timing that no real peer shows
on request. What a real peer does is in test_network.py.
"""

import asyncio
import hashlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import grpc.aio
import pytest
from fabric_protos.common.common_pb2 import ChannelHeader, Header
from fabric_protos.peer.chaincode_pb2 import ChaincodeID, ChaincodeInput
from fabric_protos.peer.chaincode_shim_pb2 import (
    ChaincodeMessage,
    GetState,
    GetStateMultiple,
    GetStateMultipleResult,
    PutState,
    WriteBatchState,
)
from fabric_protos.peer.chaincode_shim_pb2_grpc import ChaincodeStub
from fabric_protos.peer.proposal_pb2 import Proposal, SignedProposal
from fabric_protos.peer.proposal_response_pb2 import Response

from evidence.abi import EncodingError
from evidence.commands import Batch
from ledger_adapters.contract import Code, Genesis, apply_batch, prepare
from ledger_adapters.fabric.chaincode import functions
from ledger_adapters.fabric.chaincode.messages import (
    EVENT,
    OutcomesEvent,
    ReadResponse,
    SubmitResponse,
    join_keys,
    split_keys,
)
from ledger_adapters.fabric.chaincode.stream import Limits, PeerStream
from tests.fabric.conftest import Market, anchor

NOW = 1_800_000_000
PACKAGE = "market:" + "ab" * 32
SERVER = [sys.executable, "-m", "ledger_adapters.fabric.chaincode"]
# READY as Fabric 3.1 sends it: both kinds of batches, 1,000 keys each.
READY_1000 = bytes.fromhex("0801 10e807 1801 20e807")


def transaction(txid: str, *arguments: bytes, at: int = NOW) -> ChaincodeMessage:
    channel = ChannelHeader(channel_id="market", tx_id=txid)
    channel.timestamp.seconds = at
    proposal = Proposal(header=Header(channel_header=channel.SerializeToString()).SerializeToString())
    return ChaincodeMessage(
        type=ChaincodeMessage.TRANSACTION,
        channel_id="market",
        txid=txid,
        payload=ChaincodeInput(args=arguments).SerializeToString(),
        proposal=SignedProposal(proposal_bytes=proposal.SerializeToString()),
    )


class PlayedPeer:
    """A peer's end of the stream, with state in memory. Like a peer it applies no write before a commit.

    `fails` names the request types that are answered with ERROR, `genesis_file` is that of the chaincode server.
    """

    def __init__(
        self,
        state: dict[bytes, bytes],
        ready: bytes = READY_1000,
        fails: Sequence[int] = (),
        genesis_file: Path | None = None,
    ) -> None:
        self.state = state
        self.ready = ready
        self.fails = fails
        self.genesis_file = genesis_file
        self.registered_as = ""
        self.requests: list[tuple[int, int]] = []  # type, number of keys
        self.written: dict[str, dict[bytes, bytes]] = {}
        self.completed: dict[str, ChaincodeMessage] = {}
        self._transactions: list[ChaincodeMessage] = []
        self._inbox: asyncio.Queue[Any]
        self._is_writing = False
        self._delays = Random(1)

    async def run(self, *transactions: ChaincodeMessage, clock: float = NOW) -> None:
        """Send the transactions all at once and wait until each is answered."""
        self._transactions = list(transactions)
        self._inbox = asyncio.Queue()
        self.written.clear()
        self.completed.clear()
        await PeerStream(PACKAGE, self, lambda: clock, self.genesis_file).serve()

    async def read(self) -> Any:
        return await self._inbox.get()

    async def write(self, message: ChaincodeMessage) -> None:
        assert not self._is_writing, "two writes at once"
        self._is_writing = True
        await asyncio.sleep(0)
        self._is_writing = False
        self._receive(message)

    def _receive(self, message: ChaincodeMessage) -> None:
        if message.type == ChaincodeMessage.REGISTER:
            self.registered_as = ChaincodeID.FromString(message.payload).name
            self._inbox.put_nowait(ChaincodeMessage(type=ChaincodeMessage.REGISTERED))
            self._inbox.put_nowait(ChaincodeMessage(type=ChaincodeMessage.READY, payload=self.ready))
            for each in self._transactions:
                self._inbox.put_nowait(each)
        elif message.type == ChaincodeMessage.COMPLETED:
            self.completed[message.txid] = message
            if len(self.completed) == len(self._transactions):
                self._inbox.put_nowait(grpc.aio.EOF)
        else:
            # Not in the order of the requests.
            delay = self._delays.random() / 100
            asyncio.get_running_loop().call_later(delay, self._inbox.put_nowait, self._answer(message))

    def _answer(self, message: ChaincodeMessage) -> ChaincodeMessage:
        if message.type in self.fails:
            type, payload = ChaincodeMessage.ERROR, b"no ledger context"
        else:
            type, payload = ChaincodeMessage.RESPONSE, self._serve(message)
        return ChaincodeMessage(type=type, payload=payload, channel_id=message.channel_id, txid=message.txid)

    def _serve(self, message: ChaincodeMessage) -> bytes:
        written = self.written.setdefault(message.txid, {})
        match message.type:
            case ChaincodeMessage.GET_STATE:
                self.requests.append((message.type, 1))
                return self._value(GetState.FromString(message.payload).key)
            case ChaincodeMessage.GET_STATE_MULTIPLE:
                keys = GetStateMultiple.FromString(message.payload).keys
                self.requests.append((message.type, len(keys)))
                return bytes(GetStateMultipleResult(values=[self._value(key) for key in keys]).SerializeToString())
            case ChaincodeMessage.PUT_STATE:
                put = PutState.FromString(message.payload)
                self.requests.append((message.type, 1))
                written[bytes.fromhex(put.key)] = put.value
            case ChaincodeMessage.WRITE_BATCH_STATE:
                records = WriteBatchState.FromString(message.payload).rec
                self.requests.append((message.type, len(records)))
                written.update({bytes.fromhex(each.key): each.value for each in records})
            case other:
                raise AssertionError(f"unexpected message of type {other}")
        return b""

    def _value(self, key: str) -> bytes:
        assert key == key.lower()
        return self.state.get(bytes.fromhex(key), b"")

    def commit(self) -> None:
        for written in self.written.values():
            self.state.update(written)

    def response(self, txid: str = "t") -> Response:
        return Response.FromString(self.completed[txid].payload)


@pytest.fixture
def market() -> Market:
    return Market.new()


@pytest.fixture
def peer(market: Market) -> PlayedPeer:
    """A peer whose ledger has been founded."""
    return PlayedPeer({Genesis.key(): market.genesis.encode()})


def ask(peer: PlayedPeer, *arguments: bytes, at: int = NOW) -> Response:
    asyncio.run(peer.run(transaction("t", *arguments, at=at)))
    return peer.response()


def submit(peer: PlayedPeer, batch: Batch) -> SubmitResponse:
    response = ask(peer, b"submit", batch.encode())
    assert response.status == 200, response.message
    return SubmitResponse.decode(response.payload)


def refusal(peer: PlayedPeer, *arguments: bytes, at: int = NOW) -> str:
    """The message of a refusal, which wrote and announced nothing."""
    response = ask(peer, *arguments, at=at)
    assert response.status == 500
    assert not response.payload
    assert not any(peer.written.values())
    assert not peer.completed["t"].HasField("chaincode_event")
    message: str = response.message
    return message


def test_the_server_registers_under_its_package_id(peer: PlayedPeer) -> None:
    ask(peer, b"genesis")
    assert peer.registered_as == PACKAGE


@pytest.mark.parametrize(
    ("payload", "limits"),
    [
        (READY_1000, Limits(reads=1000, writes=1000)),
        (b"", Limits(reads=0, writes=0)),
        (bytes.fromhex("1801 2064"), Limits(reads=100, writes=0)),
        (bytes.fromhex("1064 2064"), Limits(reads=0, writes=0)),
        (bytes.fromhex("0801 1064 1801 20c801 2a03616263"), Limits(reads=200, writes=100)),
    ],
)
def test_ready_tells_what_the_peer_can_do(payload: bytes, limits: Limits) -> None:
    assert Limits.from_ready(payload) == limits


def test_a_batch_gives_what_the_core_gives(market: Market, peer: PlayedPeer) -> None:
    batch = market.anchors(1, 2, 2)
    response = submit(peer, batch)
    prepared = prepare(batch)
    expected = apply_batch(prepared, {key: peer.state.get(key) for key in prepared.reads}, NOW)
    assert peer.written["t"] == expected.writes
    assert [outcome.code for outcome in expected.outcomes] == [Code.APPLIED, Code.APPLIED, Code.ALREADY_ANCHORED]
    assert response == SubmitResponse.of(expected.outcomes)
    event = peer.completed["t"].chaincode_event
    assert event.event_name == EVENT
    assert OutcomesEvent.decode(event.payload).outcomes == expected.outcomes


def test_a_known_command_is_answered_but_not_announced_again(market: Market, peer: PlayedPeer) -> None:
    old, new = market.command(anchor(1)), market.command(anchor(2))
    submit(peer, market.batch([old]))
    peer.commit()
    response = submit(peer, market.batch([old, new]))
    assert [outcome.code for outcome in response.outcomes] == [Code.ALREADY_APPLIED, Code.APPLIED]
    event = OutcomesEvent.decode(peer.completed["t"].chaincode_event.payload)
    assert event.ids == (new.id,)


def test_a_batch_of_known_commands_is_answered_without_writes_and_event(market: Market, peer: PlayedPeer) -> None:
    batch = market.anchors(1, 2)
    submit(peer, batch)
    peer.commit()
    response = submit(peer, batch)
    assert response.codes == (Code.ALREADY_APPLIED, Code.ALREADY_APPLIED)
    assert not peer.written["t"]
    assert not peer.completed["t"].HasField("chaincode_event")


def test_rejected_commands_are_announced_and_write_nothing(market: Market, peer: PlayedPeer) -> None:
    unsigned = Batch(market.anchors(1).envelopes, bytes(64))
    assert submit(peer, unsigned).codes == (Code.OPERATOR_SIGNATURE,)
    assert not peer.written["t"]
    assert OutcomesEvent.decode(peer.completed["t"].chaincode_event.payload).codes == (Code.OPERATOR_SIGNATURE,)


def test_keys_are_read_and_written_a_thousand_at_a_time(market: Market, peer: PlayedPeer) -> None:
    batch = market.anchors(*range(700))
    prepared = prepare(batch)
    submit(peer, batch)
    sizes = {ChaincodeMessage.GET_STATE_MULTIPLE: len(prepared.reads), ChaincodeMessage.WRITE_BATCH_STATE: 0}
    sizes[ChaincodeMessage.WRITE_BATCH_STATE] = len(peer.written["t"])
    assert min(sizes.values()) > 1000
    for type, size in sizes.items():
        full, rest = divmod(size, 1000)
        assert [keys for each, keys in peer.requests if each == type] == [1000] * full + [rest] * bool(rest)
    assert peer.requests == sorted(peer.requests, key=lambda request: request[0] == ChaincodeMessage.WRITE_BATCH_STATE)


def test_a_peer_without_batches_is_asked_key_by_key(market: Market, peer: PlayedPeer) -> None:
    peer.ready = b""
    batch = market.anchors(1, 2)
    assert submit(peer, batch).codes == (Code.APPLIED, Code.APPLIED)
    assert Counter(type for type, _ in peer.requests) == {
        ChaincodeMessage.GET_STATE: len(prepare(batch).reads),
        ChaincodeMessage.PUT_STATE: len(peer.written["t"]),
    }


@pytest.mark.parametrize("ready", [READY_1000, b""])
@pytest.mark.parametrize("fails", ["read", "write"])
def test_an_error_of_the_peer_is_no_value(market: Market, peer: PlayedPeer, ready: bytes, fails: str) -> None:
    reads = (ChaincodeMessage.GET_STATE, ChaincodeMessage.GET_STATE_MULTIPLE)
    writes = (ChaincodeMessage.PUT_STATE, ChaincodeMessage.WRITE_BATCH_STATE)
    peer.ready, peer.fails = ready, reads if fails == "read" else writes
    assert refusal(peer, b"submit", market.anchors(1).encode()) == "no ledger context"


def test_fewer_values_than_keys_are_an_error(market: Market, peer: PlayedPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "_serve", lambda message: GetStateMultipleResult(values=[b""]).SerializeToString())
    assert "the peer gave 1 values" in refusal(peer, b"submit", market.anchors(1).encode())


def test_two_hundred_transactions_at_once_each_get_their_own_answer(market: Market, peer: PlayedPeer) -> None:
    batches = {f"t{number}": market.anchors(number, area=number) for number in range(200)}
    asyncio.run(peer.run(*[transaction(txid, b"submit", batch.encode()) for txid, batch in batches.items()]))
    for txid, batch in batches.items():
        response = SubmitResponse.decode(peer.response(txid).payload)
        assert response.codes == (Code.APPLIED,)
        assert response.ids == OutcomesEvent.decode(peer.completed[txid].chaincode_event.payload).ids
        assert response.ids == tuple(command.id for command in prepare(batch).commands if command)
        assert len(peer.written[txid]) == 3


@pytest.mark.parametrize("off", [-60, 60])
def test_a_transaction_may_be_a_minute_off(market: Market, peer: PlayedPeer, off: int) -> None:
    response = ask(peer, b"submit", market.anchors(1).encode(), at=NOW + off)
    assert SubmitResponse.decode(response.payload).times == (NOW + off,)


@pytest.mark.parametrize("off", [-61, 61])
def test_a_transaction_further_off_is_refused(market: Market, peer: PlayedPeer, off: int) -> None:
    message = refusal(peer, b"submit", market.anchors(1).encode(), at=NOW + off)
    assert message == f"the transaction's time is {off:+} s off the clock of this organisation, 60 s are allowed"
    assert not peer.requests


def test_an_unfounded_ledger_takes_no_batch(market: Market) -> None:
    peer = PlayedPeer({})
    assert refusal(peer, b"submit", market.anchors(1).encode()) == "the ledger has no genesis record"
    assert refusal(PlayedPeer({}), b"genesis") == "the ledger has no genesis record"


def test_a_ledger_is_founded_with_what_was_agreed(market: Market, tmp_path: Path) -> None:
    peer = PlayedPeer({}, genesis_file=tmp_path / "genesis")
    record = market.genesis.encode()
    agree(tmp_path, record)
    assert ask(peer, b"found", record).payload == record
    assert peer.written.pop("t") == {Genesis.key(): record}


def test_what_was_not_agreed_founds_no_ledger(market: Market, tmp_path: Path) -> None:
    record, path = market.genesis.encode(), tmp_path / "genesis"
    digest = hashlib.sha256(record).hexdigest()
    message = f"this organisation has not agreed to the genesis record with SHA-256 {digest}"
    for named in (None, path):
        peer = PlayedPeer({}, genesis_file=named)
        assert refusal(peer, b"found", record) == f"{message}, nor to any other"
        assert not peer.written["t"]
    peer = PlayedPeer({}, genesis_file=path)
    for other in (Market.new().genesis.encode(), record + bytes(32)):
        agree(tmp_path, other)
        assert refusal(peer, b"found", record) == f"{message}, but to another"
    path.write_text(digest[:-1], encoding="ascii")
    assert refusal(peer, b"found", record) == f"{message}, but to another"
    assert not peer.written["t"]


def agree(folder: Path, record: bytes) -> None:
    (folder / "genesis").write_text(hashlib.sha256(record).hexdigest() + "\n", encoding="ascii")


def test_founding_a_ledger_again_changes_nothing(market: Market, peer: PlayedPeer) -> None:
    assert ask(peer, b"found", market.genesis.encode()).payload == market.genesis.encode()
    assert not peer.written["t"]


def test_a_founded_ledger_takes_no_other_genesis(peer: PlayedPeer) -> None:
    assert "another genesis record" in refusal(peer, b"found", Market.new().genesis.encode())


@pytest.mark.parametrize("damage", [lambda record: record[:-1], lambda record: record[:-32] + bytes(32)])
def test_a_genesis_record_needs_two_keys(market: Market, damage: Callable[[bytes], bytes]) -> None:
    assert "no genesis record with two keys" in refusal(PlayedPeer({}), b"found", damage(market.genesis.encode()))


def test_state_is_read_back_in_the_order_asked_for(market: Market, peer: PlayedPeer) -> None:
    missing = b"\x07" * 32
    response = ask(peer, b"read", join_keys([missing, Genesis.key(), missing]))
    assert ReadResponse.decode(response.payload).values == (b"", market.genesis.encode(), b"")
    assert ask(peer, b"genesis").payload == market.genesis.encode()


@pytest.mark.parametrize(
    "arguments",
    [(), (b"submit",), (b"submit", b"no batch"), (b"read", b"short"), (b"delete", b""), (b"genesis", b"more")],
)
def test_what_is_no_call_is_refused(peer: PlayedPeer, arguments: tuple[bytes, ...]) -> None:
    assert refusal(peer, *arguments)


def test_ten_thousand_keys_can_be_read_and_not_one_more() -> None:
    keys = [number.to_bytes(32, "big") for number in range(10_000)]
    assert split_keys(join_keys(keys)) == keys
    with pytest.raises(EncodingError):
        split_keys(join_keys([*keys, keys[0]]))


def test_initialisation_is_refused(peer: PlayedPeer) -> None:
    message = transaction("t", b"submit")
    message.type = ChaincodeMessage.INIT
    asyncio.run(peer.run(message))
    assert peer.response().status == 500


def test_a_failure_is_answered_at_once_and_quotes_nothing(
    market: Market, peer: PlayedPeer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object) -> None:
        raise ValueError(f"quoting {arguments}")

    monkeypatch.setattr(functions, "apply_batch", fail)
    with caplog.at_level(logging.DEBUG):
        assert refusal(peer, b"submit", market.anchors(1).encode()) == "the chaincode failed: ValueError"
    assert "ValueError at " in caplog.text
    assert "quoting" not in caplog.text


def test_nothing_of_a_payload_is_logged(market: Market, peer: PlayedPeer, caplog: pytest.LogCaptureFixture) -> None:
    secret = b"\xabSECRET" * 16
    with caplog.at_level(logging.DEBUG):
        submit(peer, market.anchors(1))
        for arguments in ((b"submit", secret), (b"read", secret + b"1"), (b"found", secret), (secret, secret)):
            refusal(PlayedPeer({}), *arguments)
    assert caplog.text
    assert "SECRET" not in caplog.text
    assert secret.hex() not in caplog.text


def test_the_server_ends_on_sigterm_with_a_transaction_underway(free_port: int) -> None:
    """As a process of its own, with a played peer that never answers a request for state."""
    address = f"127.0.0.1:{free_port}"
    command = [*SERVER, "--address", address, "--id", PACKAGE]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            started = asyncio.run(_connect_and_stop(address, server))
        finally:
            server.kill()
        errors = server.stderr.read() if server.stderr else ""
    assert server.returncode == 0, errors
    assert time.monotonic() - started < 10
    assert "Traceback" not in errors


async def _connect_and_stop(address: str, server: subprocess.Popen[str]) -> float:
    async with grpc.aio.insecure_channel(address) as channel:
        await asyncio.wait_for(channel.channel_ready(), 20)
        stream = ChaincodeStub(channel).Connect()
        assert (await stream.read()).type == ChaincodeMessage.REGISTER
        await stream.write(ChaincodeMessage(type=ChaincodeMessage.REGISTERED))
        await stream.write(ChaincodeMessage(type=ChaincodeMessage.READY, payload=READY_1000))
        await stream.write(transaction("t", b"genesis"))
        assert (await stream.read()).type == ChaincodeMessage.GET_STATE_MULTIPLE
        os.kill(server.pid, signal.SIGTERM)
        started = time.monotonic()
        await asyncio.to_thread(server.wait, 10)
    return started


def test_a_peer_may_ping_often(free_port: int) -> None:
    """Raw HTTP/2: a peer pings an idle connection every minute, and gRPC's patience ends with the third time."""
    address = f"127.0.0.1:{free_port}"
    with subprocess.Popen([*SERVER, "--address", address, "--id", PACKAGE], stderr=subprocess.DEVNULL) as server:
        try:
            connection = connect(free_port)
            with connection:
                connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS))
                for _ in range(4):
                    connection.sendall(frame(PING, bytes(8)))
                    time.sleep(1.1)
                answers = connection.recv(65_536)
        finally:
            server.terminate()
    assert answers.count(frame(PING, bytes(8), flags=1)) == 4
    assert b"too_many_pings" not in answers


SETTINGS, PING = 4, 6


def frame(type: int, payload: bytes = b"", flags: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([type, flags]) + bytes(4) + payload


def connect(port: int) -> socket.socket:
    deadline = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=10)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("--address 0.0.0.0:0 --id x".split(), "can be reached from other machines"),
        ("--address 127.0.0.1:0 --id x --tls-cert c.pem".split(), "go together"),
        (
            "--address 127.0.0.1:0 --id x --tls-cert no.pem --tls-key no.pem --client-ca no.pem".split(),
            "no.pem: No such file or directory",
        ),
    ],
)
def test_the_server_says_what_is_wrong_with_its_options(arguments: list[str], reason: str) -> None:
    assert reason in failed_start(*arguments)


def test_a_taken_address_is_named(free_port: int) -> None:
    address = f"127.0.0.1:{free_port}"
    with socket.create_server(("127.0.0.1", free_port), reuse_port=True):
        assert f"--address {address}" in failed_start("--address", address, "--id", PACKAGE)


def failed_start(*arguments: str) -> str:
    """What the server says when it does not start."""
    finished = subprocess.run([*SERVER, *arguments], capture_output=True, text=True, timeout=30)
    assert finished.returncode
    assert "Traceback" not in finished.stderr
    return finished.stderr


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port

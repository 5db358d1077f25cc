"""A stand-in for a gateway peer: real gRPC on loopback, Fabric's messages, checks and statuses as a client sees them.

What is tested against it is the border between client and network: bytes, errors, deadlines, broken connections. That
Fabric itself accepts what the client sends is for test_real_gateway.py to show. The server has threads, not asyncio, so
that the client's is the only event loop in the process.
"""

import hashlib
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from fabric_protos.common import common_pb2, ledger_pb2
from fabric_protos.gateway import gateway_pb2, gateway_pb2_grpc
from fabric_protos.msp import identities_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import (
    chaincode_event_pb2,
    chaincode_pb2,
    events_pb2,
    proposal_pb2,
    proposal_response_pb2,
    transaction_pb2,
)

HALF_ORDER = 0x7FFFFFFF800000007FFFFFFFFFFFFFFFDE737D56D38BCF4279DCE5617E3192A8
CHANNEL, CHAINCODE = "mychannel", "basic"


def certificate(key: ec.EllipticCurvePrivateKey, name: str, days: int = 1) -> bytes:
    """Self-signed, in PEM, for an identity as well as for a TLS server called `name`."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC).replace(microsecond=0)
    built = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    return built.public_bytes(Encoding.PEM)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def envelope(proposal_bytes: bytes, result: bytes) -> Any:
    """What `prepareTransaction` (gateway/submit.go) makes of an endorsed proposal: the transient data is left out."""
    proposal = proposal_pb2.Proposal.FromString(proposal_bytes)
    header = common_pb2.Header.FromString(proposal.header)
    asked = proposal_pb2.ChaincodeProposalPayload.FromString(proposal.payload)
    action = proposal_pb2.ChaincodeAction(response=proposal_response_pb2.Response(status=200, payload=result))
    endorsed = proposal_response_pb2.ProposalResponsePayload(extension=action.SerializeToString())
    content = transaction_pb2.ChaincodeActionPayload(
        chaincode_proposal_payload=proposal_pb2.ChaincodeProposalPayload(input=asked.input).SerializeToString(),
        action=transaction_pb2.ChaincodeEndorsedAction(proposal_response_payload=endorsed.SerializeToString()),
    )
    transaction = transaction_pb2.Transaction(
        actions=[transaction_pb2.TransactionAction(header=header.signature_header, payload=content.SerializeToString())]
    )
    payload = common_pb2.Payload(header=header, data=transaction.SerializeToString())
    return common_pb2.Envelope(payload=payload.SerializeToString())


def function_and_arguments(proposal_bytes: bytes) -> tuple[str, list[bytes]]:
    """Name of the chaincode and arguments of a call."""
    payload = proposal_pb2.ChaincodeProposalPayload.FromString(proposal_pb2.Proposal.FromString(proposal_bytes).payload)
    spec = chaincode_pb2.ChaincodeInvocationSpec.FromString(payload.input).chaincode_spec
    return spec.chaincode_id.name, list(spec.input.args)


def status_details(code: int, message: str, *details: tuple[str, str, str]) -> bytes:
    """google.rpc.Status with gateway.ErrorDetail messages, laid out by hand: (address, MSP id, message) each."""

    def part(tag: int, content: bytes) -> bytes:
        size, length = b"", len(content)
        while length > 127:
            size, length = size + bytes([length & 127 | 128]), length >> 7
        return bytes([tag << 3 | 2]) + size + bytes([length]) + content

    packed = bytes([0x08, code]) + part(2, message.encode())
    for address, msp_id, said in details:
        detail = part(1, address.encode()) + part(2, msp_id.encode()) + part(3, said.encode())
        packed += part(3, part(1, b"type.googleapis.com/gateway.ErrorDetail") + part(2, detail))
    return packed


class Refusal(Exception):
    """How a call is to end: with a status and details, or with `packed` in their place."""

    def __init__(
        self, code: grpc.StatusCode, message: str, *details: tuple[str, str, str], packed: bytes = b""
    ) -> None:
        self.code, self.message = code, message
        self.packed = status_details(code.value[0], message, *details) if details else packed


@dataclass
class Peer:
    """`faults[method]`, refusals or seconds to hang, are used up one per call.

    `cuts` say of each stream in turn after how many items it ends, and by which refusal, if any. `prepares`: a proposal
    that is endorsed in place of any other.
    """

    server: grpc.Server
    port: int
    faults: defaultdict[str, list[Refusal | float]] = field(default_factory=lambda: defaultdict(list))
    cuts: list[tuple[int, Refusal | None]] = field(default_factory=list)
    on_fault: Callable[[], None] = lambda: None
    prepares: bytes = b""
    calls: list[str] = field(default_factory=list)
    submitted: list[bytes] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)
    blocks: list[list[tuple[str, bytes]]] = field(default_factory=lambda: [[]])
    running: int = 0
    most_running: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _stopped: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def start(cls, credentials: grpc.ServerCredentials | None = None, port: int = 0) -> Self:
        options = [("grpc.so_reuseport", 0), ("grpc.http2.min_ping_interval_without_data_ms", 100)]
        server = grpc.server(ThreadPoolExecutor(40), options=options)
        address = f"127.0.0.1:{port}"
        bound = (
            server.add_secure_port(address, credentials)
            if credentials is not None
            else server.add_insecure_port(address)
        )
        peer = cls(server, bound)
        gateway_pb2_grpc.add_GatewayServicer_to_server(peer, server)
        deliver = grpc.stream_stream_rpc_method_handler(
            peer.Deliver, common_pb2.Envelope.FromString, events_pb2.DeliverResponse.SerializeToString
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("protos.Deliver", {"Deliver": deliver}),))
        server.start()
        return peer

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._stopped.set()
        self.server.stop(None).wait()

    def commit(self, *events: tuple[str, bytes]) -> None:
        """A block with these events: (transaction id, payload) each."""
        with self._changed:
            self.blocks.append(list(events))
            self._changed.notify_all()

    # The Gateway service, by the names that gRPC looks for.

    def Evaluate(self, request: Any, context: grpc.ServicerContext) -> Any:
        def answer() -> Any:
            self._check_proposal(request)
            name, arguments = function_and_arguments(request.proposed_transaction.proposal_bytes)
            if (name, arguments[0]) == ("qscc", b"GetChainInfo"):
                result = ledger_pb2.BlockchainInfo(height=len(self.blocks), currentBlockHash=b"c").SerializeToString()
            else:
                result = b"|".join(arguments)
            return gateway_pb2.EvaluateResponse(result=proposal_response_pb2.Response(status=200, payload=result))

        return self._answer("Evaluate", context, answer)

    def Endorse(self, request: Any, context: grpc.ServicerContext) -> Any:
        def answer() -> Any:
            self._check_proposal(request)
            _, arguments = function_and_arguments(request.proposed_transaction.proposal_bytes)
            prepared = envelope(self.prepares or request.proposed_transaction.proposal_bytes, b"|".join(arguments))
            return gateway_pb2.EndorseResponse(prepared_transaction=prepared)

        return self._answer("Endorse", context, answer)

    def Submit(self, request: Any, context: grpc.ServicerContext) -> Any:
        def answer() -> Any:
            prepared = request.prepared_transaction
            header = common_pb2.Payload.FromString(prepared.payload).header
            creator = common_pb2.SignatureHeader.FromString(header.signature_header).creator
            check_signature(creator, prepared.payload, prepared.signature)
            self.submitted.append(prepared.SerializeToString())
            self.codes.setdefault(request.transaction_id, 0)
            self.commit((request.transaction_id, b"set"))
            return gateway_pb2.SubmitResponse()

        return self._answer("Submit", context, answer)

    def CommitStatus(self, signed: Any, context: grpc.ServicerContext) -> Any:
        def answer() -> Any:
            request = gateway_pb2.CommitStatusRequest.FromString(signed.request)
            check_signature(request.identity, signed.request, signed.signature)
            while request.transaction_id not in self.codes:
                self._wait(context)
            return gateway_pb2.CommitStatusResponse(result=self.codes[request.transaction_id], block_number=7)

        return self._answer("CommitStatus", context, answer)

    def ChaincodeEvents(self, signed: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        request = gateway_pb2.ChaincodeEventsRequest.FromString(signed.request)
        number = self._first(request.start_position)
        passed = not request.after_transaction_id

        def responses() -> Iterator[Any]:
            nonlocal number, passed
            while True:
                while number >= len(self.blocks):
                    self._wait(context)
                events = []
                for id, payload in self.blocks[number]:
                    if passed:
                        events.append(
                            chaincode_event_pb2.ChaincodeEvent(
                                chaincode_id=CHAINCODE, tx_id=id, event_name="set", payload=payload
                            )
                        )
                    passed = passed or id == request.after_transaction_id
                if events:
                    yield gateway_pb2.ChaincodeEventsResponse(events=events, block_number=number)
                number += 1

        yield from self._stream(
            "ChaincodeEvents",
            context,
            responses,
            lambda: check_signature(request.identity, signed.request, signed.signature),
        )

    # The Deliver service.

    def Deliver(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        sent = next(requests)
        payload = common_pb2.Payload.FromString(sent.payload)
        header = common_pb2.ChannelHeader.FromString(payload.header.channel_header)
        creator = common_pb2.SignatureHeader.FromString(payload.header.signature_header).creator
        seek = ab_pb2.SeekInfo.FromString(payload.data)

        def responses() -> Iterator[Any]:
            if (header.channel_id, header.type) != (CHANNEL, common_pb2.HeaderType.DELIVER_SEEK_INFO):
                yield events_pb2.DeliverResponse(status=common_pb2.Status.NOT_FOUND)
                return
            for number in range(self._first(seek.start), seek.stop.specified.number + 1):
                while number >= len(self.blocks):
                    self._wait(context)
                yield events_pb2.DeliverResponse(
                    block=common_pb2.Block(header=common_pb2.BlockHeader(number=number, data_hash=b"d"))
                )
            yield events_pb2.DeliverResponse(status=common_pb2.Status.SUCCESS)

        check = lambda: check_signature(creator, sent.payload, sent.signature)  # noqa: E731
        yield from self._stream("Deliver", context, responses, check)

    def _answer(self, method: str, context: grpc.ServicerContext, answer: Callable[[], Any]) -> Any:
        self.calls.append(method)
        with self._changed:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            if self.faults[method]:
                fault = self.faults[method].pop(0)
                if isinstance(fault, Refusal):
                    raise fault
                until = time.monotonic() + fault
                while time.monotonic() < until:
                    self._wait(context)
            return answer()
        except Refusal as refusal:
            _abort(context, refusal)
        finally:
            with self._changed:
                self.running -= 1

    def _stream(
        self,
        method: str,
        context: grpc.ServicerContext,
        responses: Callable[[], Iterator[Any]],
        check: Callable[[], None],
    ) -> Iterator[Any]:
        self.calls.append(method)
        try:
            if self.faults[method]:
                fault = self.faults[method].pop(0)
                assert isinstance(fault, Refusal)
                self.on_fault()
                raise fault
            check()
            left, cut = self.cuts.pop(0) if self.cuts else (-1, None)
            items = responses()
            while left != 0 and (response := next(items, None)) is not None:
                yield response
                left -= 1
            if cut is not None:
                raise cut
        except Refusal as refusal:
            _abort(context, refusal)

    def _first(self, position: Any) -> int:
        chosen = position.WhichOneof("Type")
        if chosen == "specified":
            return int(position.specified.number)
        assert chosen == "next_commit"
        return len(self.blocks)

    def _wait(self, context: grpc.ServicerContext) -> None:
        if self._stopped.is_set() or not context.is_active():
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "the peer is stopping")
        with self._changed:
            self._changed.wait(0.02)

    def _check_proposal(self, request: Any) -> None:
        """As validation and endorser.go do: the creator signed with low s, and the id is that of nonce and creator."""
        proposed = request.proposed_transaction
        header = common_pb2.Header.FromString(proposal_pb2.Proposal.FromString(proposed.proposal_bytes).header)
        channel = common_pb2.ChannelHeader.FromString(header.channel_header)
        signature = common_pb2.SignatureHeader.FromString(header.signature_header)
        check_signature(signature.creator, proposed.proposal_bytes, proposed.signature)
        expected = hashlib.sha256(signature.nonce + signature.creator).hexdigest()
        if {request.transaction_id, channel.tx_id} != {expected} or request.channel_id != channel.channel_id:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "ids do not agree")


def check_signature(creator: bytes, content: bytes, signature: bytes) -> None:
    key = x509.load_pem_x509_certificate(identities_pb2.SerializedIdentity.FromString(creator).id_bytes).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    try:
        key.verify(signature, content, ec.ECDSA(SHA256()))
    except Exception:
        raise Refusal(grpc.StatusCode.PERMISSION_DENIED, "the signature does not verify") from None
    if decode_dss_signature(signature)[1] > HALF_ORDER:
        raise Refusal(grpc.StatusCode.PERMISSION_DENIED, "s is in the upper half")


def _abort(context: grpc.ServicerContext, refusal: Refusal) -> None:
    if refusal.packed:
        context.set_trailing_metadata((("grpc-status-details-bin", refusal.packed),))
    if context.is_active():
        context.abort(refusal.code, refusal.message)


class Wire:
    """Passes connections on to a peer, until `cut`: then those there are stay open and carry nothing any more.

    New ones are accepted and left without an answer, until `mend`.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._epoch = 0
        self._broken = False
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        self._epoch += 1
        self._broken = True

    def mend(self) -> None:
        self._broken = False

    def close(self) -> None:
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                if not self._broken:
                    peer = socket.create_connection(("127.0.0.1", self._port))
                    self._sockets.append(peer)
                    for ends in ((client, peer), (peer, client)):
                        threading.Thread(target=self._pass_on, args=(*ends, self._epoch), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, epoch: int) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if epoch != self._epoch:
                    return
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

"""A Fabric channel made by the test, whose every key it has: what no real network would do on request."""

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from fabric_protos.common import common_pb2
from fabric_protos.msp import identities_pb2
from fabric_protos.peer import (
    chaincode_event_pb2,
    chaincode_pb2,
    proposal_pb2,
    proposal_response_pb2,
    transaction_pb2,
)

from evidence.commands import Command
from evidence.commands.kinds import AnchorReadings
from evidence.fabric.block import BlockSignature, OrderedBlock, OutcomePlace
from evidence.fabric.identities import Organisation
from evidence.fabric.transaction import Outcomes
from evidence.keys import P256_ORDER
from evidence.trust import FabricTrust

TIME = dt.datetime(2026, 11, 1, 12, 0, tzinfo=dt.UTC)
YEAR = dt.timedelta(days=365)
LEDGER, MARKET = b"\x11" * 32, b"\x22" * 32
CODE = proposal_response_pb2.Response(status=200)


def name(common: str, unit: str | None = None) -> x509.Name:
    units = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)] if unit else []
    return x509.Name([*units, x509.NameAttribute(NameOID.COMMON_NAME, common)])


@dataclass(frozen=True)
class Member:
    """An identity with its key."""

    msp: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @cached_property
    def identity(self) -> bytes:
        pem = self.certificate.public_bytes(Encoding.PEM)
        serialized: bytes = identities_pb2.SerializedIdentity(mspid=self.msp, id_bytes=pem).SerializeToString()
        return serialized

    def sign(self, content: bytes) -> bytes:
        r, s = decode_dss_signature(self.key.sign(content, ec.ECDSA(hashes.SHA256())))
        is_high = isinstance(self.key.curve, ec.SECP256R1) and s > P256_ORDER // 2
        return encode_dss_signature(r, P256_ORDER - s if is_high else s)


@dataclass(frozen=True)
class Msp:
    """An organisation with the one authority that issues its identities."""

    id: str
    is_authority: bool = True
    until: dt.datetime = TIME + YEAR
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @cached_property
    def authority(self) -> x509.Certificate:
        return self._issue(name(self.id), self.key.public_key(), TIME - YEAR, self.until, self.is_authority)

    def member(
        self,
        unit: str | None,
        start: dt.datetime = TIME - YEAR,
        end: dt.datetime = TIME + YEAR,
        curve: ec.EllipticCurve | None = None,
    ) -> Member:
        key = ec.generate_private_key(curve or ec.SECP256R1())
        certificate = self._issue(name(f"{unit} of {self.id}", unit), key.public_key(), start, end, False)
        return Member(self.id, certificate, key)

    def _issue(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, start: dt.datetime, end: dt.datetime, is_ca: bool
    ) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name(self.id))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    @property
    def organisation(self) -> Organisation:
        return Organisation(self.id, (self.authority.public_bytes(Encoding.DER),))


def command(number: int = 1) -> Command:
    fields = AnchorReadings(b"\x01" * 32, 20_000, 0, 900, 1, number.to_bytes(32, "big"))
    return Command(MARKET, number.to_bytes(32, "big"), fields)


def announced(*commands: Command, code: int = 0) -> bytes:
    count = len(commands)
    envelopes = tuple(each.envelope.encode() for each in commands)
    return Outcomes(tuple(each.id for each in commands), (code,) * count, (0,) * count, envelopes).encode()


@dataclass(frozen=True)
class Channel:
    """The organisations of a channel and the members of theirs that act. Change what is to be wrong."""

    utility: Msp = field(default_factory=lambda: Msp("UtilityMSP"))
    community: Msp = field(default_factory=lambda: Msp("CommunityMSP"))
    ordering: Msp = field(default_factory=lambda: Msp("OrdererMSP"))
    endorsers: tuple[Member, ...] = ()
    orderers: tuple[Member, ...] = ()
    name: str = "market"
    chaincode: str = "market"
    event: str = "outcomes"
    time: dt.datetime = TIME
    # What of a transaction is not made as its parts would have it.
    transaction_id: str = ""
    proposal_hash: bytes = b""
    actions: int = 1
    type: int = common_pb2.HeaderType.ENDORSER_TRANSACTION

    @cached_property
    def creator(self) -> Member:
        return self.utility.member("client")

    @cached_property
    def peers(self) -> tuple[Member, ...]:
        return self.endorsers or (self.utility.member("peer"), self.community.member("peer"))

    @cached_property
    def trust(self) -> FabricTrust:
        endorsers = (self.community.organisation, self.utility.organisation)
        return FabricTrust(LEDGER, MARKET, "market", "market", endorsers, (self.ordering.organisation,))

    def envelope(self, event: bytes) -> bytes:
        return self.signed(self.payload(event))

    def signed(self, payload: bytes) -> bytes:
        """An envelope as its creator leaves it."""
        made: bytes = common_pb2.Envelope(payload=payload, signature=self.creator.sign(payload)).SerializeToString()
        return made

    def payload(self, event: bytes) -> bytes:
        nonce = hashlib.sha256(event).digest()[:24]
        id = self.transaction_id or hashlib.sha256(nonce + self.creator.identity).hexdigest()
        channel_header = common_pb2.ChannelHeader(type=self.type, channel_id=self.name, tx_id=id)
        channel_header.timestamp.FromDatetime(self.time.replace(tzinfo=None))
        signer = common_pb2.SignatureHeader(creator=self.creator.identity, nonce=nonce).SerializeToString()
        header = common_pb2.Header(channel_header=channel_header.SerializeToString(), signature_header=signer)
        asked = b"what was asked"
        proposal = header.channel_header + header.signature_header + asked
        action = transaction_pb2.ChaincodeActionPayload(
            chaincode_proposal_payload=asked,
            action=self._endorsed(self._response(id, event, hashlib.sha256(proposal).digest())),
        )
        actions = [transaction_pb2.TransactionAction(payload=action.SerializeToString())] * self.actions
        data = transaction_pb2.Transaction(actions=actions).SerializeToString()
        made: bytes = common_pb2.Payload(header=header, data=data).SerializeToString()
        return made

    def _response(self, id: str, event: bytes, proposal_hash: bytes) -> bytes:
        said = chaincode_event_pb2.ChaincodeEvent(
            chaincode_id=self.chaincode, tx_id=id, event_name=self.event, payload=event
        )
        action = proposal_pb2.ChaincodeAction(
            results=b"reads and writes",
            events=said.SerializeToString(),
            response=CODE,
            chaincode_id=chaincode_pb2.ChaincodeID(name=self.chaincode, version="1"),
        )
        made: bytes = proposal_response_pb2.ProposalResponsePayload(
            proposal_hash=self.proposal_hash or proposal_hash, extension=action.SerializeToString()
        ).SerializeToString()
        return made

    def _endorsed(self, response: bytes) -> Any:
        endorsements = [
            proposal_response_pb2.Endorsement(endorser=peer.identity, signature=peer.sign(response + peer.identity))
            for peer in self.peers
        ]
        return transaction_pb2.ChaincodeEndorsedAction(proposal_response_payload=response, endorsements=endorsements)

    def block(self, envelopes: Sequence[bytes], *places: OutcomePlace, number: int = 7) -> OrderedBlock:
        """A block that the orderers signed, whatever is in it."""
        unsigned = OrderedBlock(number, b"\x77" * 32, b"".join(envelopes), b"metadata", (), places)
        signatures = []
        for orderer in self.orderers or (self.ordering.member("orderer"),):
            signer = common_pb2.SignatureHeader(creator=orderer.identity, nonce=b"n" * 24).SerializeToString()
            content = unsigned.metadata + signer + unsigned.header
            signatures.append(BlockSignature(signer, orderer.sign(content)))
        return replace(unsigned, signatures=tuple(signatures))

"""What a Fabric channel proves, where others lie: orderers, creators, single organisations. No network is needed."""

import datetime as dt
import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from fabric_protos.common import common_pb2
from fabric_protos.peer import transaction_pb2
from google.protobuf.message import Message as ProtobufMessage

from evidence.bundle import FabricLog
from evidence.fabric.block import BlockSignature, OrderedBlock, OutcomePlace, envelopes
from evidence.fabric.transaction import Outcomes, Transaction
from evidence.fabric.wire import FabricError, Message
from evidence.keys import P256_ORDER
from evidence.verify import VerificationError
from evidence.verify.ledger import read_log
from ledger_adapters.contract import Code, Outcome
from ledger_adapters.fabric.chaincode.messages import EVENT, OutcomesEvent
from tests.evidence.fabric_made import TIME, YEAR, Channel, Member, Msp, announced, command

FIRST = OutcomePlace(0, 0)


@pytest.fixture(scope="module")
def channel() -> Channel:
    return Channel()


def block_of(channel: Channel, event: bytes | None = None) -> OrderedBlock:
    return channel.block([channel.envelope(announced(command()) if event is None else event)], FIRST)


def ids(channel: Channel, *blocks: OrderedBlock) -> list[bytes]:
    proven, _ = read_log(FabricLog(blocks), channel.trust)
    assert [one.entry for one in proven] == list(range(len(proven)))
    return [one.command.id for one in proven]


def refusal_of(channel: Channel, *blocks: OrderedBlock) -> VerificationError:
    with pytest.raises(VerificationError) as refusal:
        ids(channel, *blocks)
    return refusal.value


def changed_bytes(content: bytes) -> Iterator[bytes]:
    """With each byte changed in turn, so that as a tag it has another type, and another number."""
    for at in range(len(content)):
        for bit in (1, 8):
            yield content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]


def test_what_all_have_signed_is_proven(channel: Channel) -> None:
    assert ids(channel, block_of(channel)) == [command().id]


def test_the_event_is_the_one_that_the_chaincode_announces() -> None:
    one = command()
    event = OutcomesEvent.of([Outcome(one.id, Code.APPLIED, 5, one.envelope.encode())])
    assert Outcomes.decode(event.encode()).ids == (one.id,)
    assert Outcomes.decode(event.encode()).encode() == event.encode()
    assert EVENT == "outcomes"


# Orderers that lie: they sign whatever the block holds


# Certificates with a changed byte.
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.timeout(600)
def test_orderers_cannot_change_a_byte_of_a_transaction(channel: Channel) -> None:
    orderer = channel.ordering.member("orderer")
    lying = replace(channel, orderers=(orderer,))
    for changed in changed_bytes(channel.envelope(announced(command()))):
        assert refusal_of(channel, lying.block([changed], FIRST)).place.startswith("ledger.blocks[0].")


# Certificates with a changed byte.
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.timeout(600)
def test_orderers_and_the_creator_cannot_change_a_byte_of_what_was_endorsed(channel: Channel) -> None:
    """The creator signs each change anew; its header and its payload are bound by the endorsements."""
    lying = replace(channel, orderers=(channel.ordering.member("orderer"),), endorsers=channel.peers)
    lying.__dict__["creator"] = channel.creator
    payload = lying.payload(announced(command()))
    for changed in changed_bytes(payload):
        assert refusal_of(channel, lying.block([lying.signed(changed)], FIRST)).place.startswith("ledger.blocks[0].")


def test_a_transaction_inside_another_is_none(channel: Channel) -> None:
    """Hidden in a part that nobody reads, it would be endorsed and never ordered."""
    hidden = channel.envelope(announced(command()))
    outer = common_pb2.Envelope(payload=hidden, signature=b"s").SerializeToString()
    block = channel.block([outer], FIRST)
    assert envelopes(block.data) == [outer]
    refusal_of(channel, block)
    refusal_of(channel, channel.block([outer], OutcomePlace(1, 0)))


# Who endorsed


def endorsed_by(channel: Channel, *peers: Member) -> OrderedBlock:
    return block_of(replace(channel, endorsers=peers))


def test_each_organisation_must_have_endorsed(channel: Channel) -> None:
    utility, community = channel.peers
    assert ids(channel, endorsed_by(channel, community, utility)) == [command().id]
    assert "CommunityMSP has not endorsed" in str(refusal_of(channel, endorsed_by(channel, utility)))
    assert "UtilityMSP has not endorsed" in str(refusal_of(channel, endorsed_by(channel, community)))
    twice = endorsed_by(channel, utility, channel.utility.member("peer"))
    assert "CommunityMSP has not endorsed" in str(refusal_of(channel, twice))


def test_a_third_organisations_endorsement_does_no_harm(channel: Channel) -> None:
    assert ids(channel, endorsed_by(channel, *channel.peers, Msp("AuditorMSP").member("peer"))) == [command().id]


def test_a_strangers_authority_is_refused(channel: Channel) -> None:
    """It carries the same name."""
    forged = endorsed_by(channel, channel.utility.member("peer"), Msp("CommunityMSP").member("peer"))
    assert "no authority that is trusted" in str(refusal_of(channel, forged))


@pytest.mark.parametrize("unit", ["client", "admin", "orderer", "Peer", None])
def test_only_peers_endorse(channel: Channel, unit: str | None) -> None:
    forged = endorsed_by(channel, channel.utility.member(unit), channel.community.member("peer"))
    assert "is no peer" in str(refusal_of(channel, forged))


def test_what_a_peer_issued_is_refused(channel: Channel) -> None:
    """A peer's own certificate signs no others."""
    peer = channel.community.member("peer")
    impostor = replace(channel.community, key=peer.key)
    forged = endorsed_by(channel, channel.utility.member("peer"), impostor.member("peer"))
    assert "no authority that is trusted" in str(refusal_of(channel, forged))


@pytest.mark.parametrize(
    ("start", "end"),
    [(TIME - YEAR, TIME - dt.timedelta(seconds=1)), (TIME + dt.timedelta(seconds=1), TIME + YEAR)],
    ids=["expired", "not yet valid"],
)
def test_certificates_must_be_valid_at_the_time_of_the_transaction(
    channel: Channel, start: dt.datetime, end: dt.datetime
) -> None:
    peer = channel.utility.member("peer", start, end)
    message = "is not valid at 2026-11-01 12:00:00 UTC"
    assert message in str(refusal_of(channel, endorsed_by(channel, peer, channel.community.member("peer"))))
    orderer = channel.ordering.member("orderer", start, end)
    assert message in str(refusal_of(channel, block_of(replace(channel, orderers=(orderer,)))))


def test_an_authority_that_has_expired_vouches_for_nobody() -> None:
    channel = Channel(community=Msp("CommunityMSP", until=TIME - dt.timedelta(seconds=1)))
    assert "no authority that is trusted" in str(refusal_of(channel, block_of(channel)))


def test_an_authority_that_is_none_vouches_for_nobody() -> None:
    channel = Channel(community=Msp("CommunityMSP", is_authority=False))
    assert "no authority that is trusted" in str(refusal_of(channel, block_of(channel)))


def test_keys_of_other_curves_are_refused(channel: Channel) -> None:
    peer = channel.utility.member("peer", curve=ec.SECP384R1())
    assert "not on P-256" in str(refusal_of(channel, endorsed_by(channel, peer, channel.community.member("peer"))))


# What was endorsed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "other"}, "channel 'other'"),
        ({"chaincode": "other"}, "chaincode 'other'"),
        ({"event": "other"}, "no outcomes"),
        ({"transaction_id": "ab" * 32}, "id is not made from its creator"),
        ({"proposal_hash": bytes(32)}, "not what the transaction asked for"),
        ({"actions": 2}, "one action, this one 2"),
        ({"actions": 0}, "one action, this one 0"),
        ({"type": common_pb2.HeaderType.CONFIG}, "runs no chaincode"),
    ],
    ids=str,
)
def test_another_transaction_is_refused(channel: Channel, changes: dict[str, Any], message: str) -> None:
    refusal = refusal_of(channel, block_of(replace(channel, **changes)))
    assert (refusal.place, message in str(refusal)) == ("ledger.blocks[0].data[0]", True), str(refusal)


def test_a_refused_command_is_none(channel: Channel) -> None:
    refusal = refusal_of(channel, block_of(channel, announced(command(), code=32)))
    assert (refusal.place, "refused with code 32" in str(refusal)) == ("ledger.blocks[0].outcomes[0]", True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda event: replace(event, ids=(b"\1" * 32,)), "not the one that was applied"),
        (lambda event: replace(event, envelopes=(b"",)), "the encoding ends too early"),
        (lambda event: replace(event, envelopes=()), "differ in length"),
    ],
)
def test_outcomes_that_do_not_hang_together_are_refused(
    channel: Channel, change: Callable[[Outcomes], Outcomes], message: str
) -> None:
    event = change(Outcomes.decode(announced(command()))).encode()
    assert message in str(refusal_of(channel, block_of(channel, event)))


def test_a_command_that_was_endorsed_twice_is_shown_once(channel: Channel) -> None:
    """Only one of the transactions can have been valid, and the blocks do not say which."""
    event = announced(command())
    twice = channel.block([channel.envelope(event)] * 2, FIRST, OutcomePlace(1, 0))
    assert "there twice" in str(refusal_of(channel, twice))


# Orderers


def test_orderers_of_others_prove_nothing(channel: Channel) -> None:
    for orderer, message in (
        (Msp("OrdererMSP").member("orderer"), "no authority that is trusted"),
        (channel.utility.member("orderer"), "no authority that is trusted"),
        (channel.ordering.member("client"), "is no orderer"),
    ):
        refusal = refusal_of(channel, block_of(replace(channel, orderers=(orderer,))))
        assert (refusal.place, message in str(refusal)) == ("ledger.blocks[0].signatures", True)
        both = (channel.ordering.member("orderer"), orderer)
        refusal_of(channel, block_of(replace(channel, orderers=both)))


def test_several_orderers_may_sign(channel: Channel) -> None:
    orderers = (channel.ordering.member("orderer"), channel.ordering.member("orderer"))
    assert ids(channel, block_of(replace(channel, orderers=orderers))) == [command().id]


def test_signatures_have_one_form(channel: Channel) -> None:
    block = block_of(channel)
    (given,) = block.signatures
    r, s = decode_dss_signature(given.signature)
    high = BlockSignature(given.signer, encode_dss_signature(r, P256_ORDER - s))
    assert "one form" in str(refusal_of(channel, replace(block, signatures=(high,))))


# Protocol Buffers


def test_the_verifier_does_without_fabrics_own_libraries() -> None:
    loaded = "import sys, evidence.verify; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert "evidence" in done.stdout.split()
    assert not {"fabric_protos", "grpc", "google", "ledger_adapters"} & set(done.stdout.split())


def test_messages_are_read_as_protobuf_reads_them() -> None:
    header = common_pb2.ChannelHeader(type=3, channel_id="märkte", epoch=2**64 - 1, extension=bytes(300))
    read = Message(header.SerializeToString(), "header")
    assert (read.number(1), read.text(4), read.number(6), read.octets(7)) == (3, "märkte", 2**64 - 1, bytes(300))
    assert (read.number(2), read.octets(8), read.each(8)) == (0, b"", [])


@pytest.mark.parametrize(
    "content",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x0a\x81",
        b"\x08\x80\x00",
        b"\x08" + b"\xff" * 9 + b"\x7f",
        b"\x08" + b"\xff" * 10 + b"\x01",
        b"\x02\x00",
        b"\x0b\x0c",
        b"\x0e\x00",
        b"\x09\x00",
        b"\x0d\x00",
    ],
    ids=bytes.hex,
)
def test_malformed_messages_are_refused(content: bytes) -> None:
    with pytest.raises(FabricError, match="the thing: "):
        Message(content, "thing")


def test_a_field_that_stands_twice_is_refused() -> None:
    """Protobuf would take the last one, or merge the two."""
    for content in (b"\x0a\x01a\x0a\x01b", b"\x0a\x00\x0a\x01b"):
        with pytest.raises(FabricError, match="twice"):
            Message(content, "thing").octets(1)
    with pytest.raises(FabricError, match="not one number"):
        Message(b"\x08\x01\x08\x01", "thing").number(1)


def test_a_field_of_another_type_is_refused() -> None:
    with pytest.raises(FabricError, match="another type"):
        Message(b"\x08\x01", "thing").octets(1)
    with pytest.raises(FabricError, match="not one number"):
        Message(b"\x0a\x01a", "thing").number(1)
    with pytest.raises(FabricError, match="no text"):
        Message(b"\x0a\x01\xff", "thing").text(1)


def test_what_nobody_asks_for_is_passed_over() -> None:
    content = b"\x11" + bytes(8) + b"\x1d" + bytes(4) + b"\x0a\x01a"
    assert Message(content, "thing").octets(1) == b"a"


def test_a_block_is_divided_in_one_way() -> None:
    made = [common_pb2.Envelope(payload=bytes([n]) * 5, signature=b"s").SerializeToString() for n in range(1, 4)]
    made[1] += b"\x1a\x01x\x08\x01"  # what a later version may add
    assert envelopes(b"".join(made)) == made
    for data in (b"", b"\x12\x01s" + made[0], made[0] + b"\x0a"):
        with pytest.raises(FabricError):
            envelopes(data)


def test_the_header_is_hashed_in_the_encoding_of_fabric() -> None:
    """Go's asn1.Marshal of number, previous hash and data hash."""
    block = OrderedBlock(255, b"\x01" * 32, b"data", b"", (), ())
    digest = hashlib.sha256(b"data").hexdigest()
    assert block.header.hex() == "3048" + "020200ff" + "0420" + "01" * 32 + "0420" + digest
    assert replace(block, number=5).header.hex().startswith("3047" + "020105")
    assert replace(block, number=2**64 - 1).header.hex().startswith("304f" + "020900" + "ff" * 8)


def test_an_envelopes_parts_are_protobufs() -> None:
    """The reader takes from a transaction what Fabric's own classes say."""
    channel = Channel()
    envelope = channel.envelope(announced(command()))
    read = Transaction.decode(envelope)
    payload = parsed(common_pb2.Payload, parsed(common_pb2.Envelope, envelope).payload)
    header = parsed(common_pb2.ChannelHeader, payload.header.channel_header)
    assert (read.id, read.channel, read.time.timestamp()) == (header.tx_id, "market", header.timestamp.seconds)
    action = parsed(transaction_pb2.Transaction, payload.data).actions[0].payload
    endorsed = parsed(transaction_pb2.ChaincodeActionPayload, action).action
    assert [each.signature for each in read.endorsements] == [each.signature for each in endorsed.endorsements]
    assert all(each.content.startswith(endorsed.proposal_response_payload) for each in read.endorsements)


def parsed(kind: type[ProtobufMessage], content: bytes) -> Any:
    return kind.FromString(content)

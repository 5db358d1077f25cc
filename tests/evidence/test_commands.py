import re
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from Crypto.Hash import keccak
from eth_abi.abi import encode as abi_encode
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from evidence.abi import EncodingError
from evidence.commands import KINDS, Batch, Command, CommandError, Envelope
from tests.evidence.by_hand import public, tagged, textbook_verifies
from tests.vectors.read import raw, value, vectors

VECTORS = vectors("commands")
COMMANDS = VECTORS["commands"]
LEDGER, MARKET = raw(VECTORS["ledger"]), raw(VECTORS["market"])

# Written down a second time on purpose: this is what devices and chains hold.
KEY = "uint8 algorithm,bytes32 x,bytes32 y"
FROZEN = {
    101: f"RegisterParticipant(bytes32 participant,uint8 role,{KEY},uint8 custody,bytes32 contents)",
    102: "ChangeParticipantState(bytes32 participant,uint8 state)",
    103: f"RotateParticipantKey(bytes32 participant,{KEY},uint8 custody)",
    111: "RegisterPlant(bytes32 plant,bytes32 area,bytes32 owner,bytes32 point,uint64 powerW,uint32 since,"
    "bytes32 contents)",
    112: "TransferPlant(bytes32 plant,bytes32 owner,bytes32 nextOwner)",
    113: "ChangePlantState(bytes32 plant,uint8 state)",
    121: f"RegisterDevice(bytes32 device,bytes32 owner,{KEY},bytes32 contents,bytes32[] points)",
    122: "TransferDevice(bytes32 device,bytes32 owner,bytes32 nextOwner)",
    123: "ChangeDeviceState(bytes32 device,uint8 state)",
    124: f"RotateDeviceKey(bytes32 device,{KEY},uint32 day,uint32 graceDays)",
    125: "RevokeDeviceKey(bytes32 device,bytes32 key)",
    201: "AnchorReadings(bytes32 area,uint32 day,uint64 start,uint64 end,uint32 count,bytes32 root)",
    202: "ReportDailyEnergy(bytes32 device,uint32 day,uint64 generated,uint64 imported,uint64 exported,"
    "bytes32 corrects)",
    301: "DeclareSurplus(bytes32 declaration,bytes32 area,bytes32 plant,bytes32 seller,uint8 mode,uint64 start,"
    "uint64 end,uint64 energy,bytes32 basis)",
    302: "PublishOffer(bytes32 offer,bytes32 declaration,bytes32 seller,uint64 energy,uint64 price,uint64 openUntil)",
    303: "CommitPurchase(bytes32 purchase,bytes32 offer,bytes32 declaration,bytes32 buyer,bytes32 point,uint64 energy)",
    304: "WithdrawOffer(bytes32 offer,bytes32 declaration,bytes32 seller)",
    305: "CloseOffer(bytes32 offer,bytes32 declaration)",
    401: "OpenAuction(bytes32 auction,bytes32 area,uint8 pricing,uint64 start,uint64 end,uint64 ownOrdersUntil,"
    "uint64 ordersUntil,bytes32 terms)",
    402: "PlaceOrder(bytes32 order,bytes32 auction,bytes32 bidder,bytes32 commitment)",
    403: "ClearAuction(bytes32 auction,uint64 price,uint64 volume,uint64 count,bytes32 head,bytes32 orders,"
    "bytes32 awards)",
    601: "RecordSettlement(bytes32 area,uint32 day,uint32 version,uint32 count,bytes32 root,bytes32 previous,"
    "uint64 produced,uint64 consumed,uint64 allocated,uint64 fedIn,uint64 supplied)",
    701: "RecordInvoice(bytes32 issuer,bytes32 series,uint64 number,bytes32 document,bytes32 corrects)",
    901: "OpenImport(bytes32[] ledgers,bytes32[] separators)",
    902: "SealImport(uint64 count,bytes32 head,bytes32 root)",
    903: "CloseLedger(bytes32 successor)",
}
ENVELOPE = (
    "uint8", "uint32", "bytes32", "bytes32", "bytes", "bytes32", "uint64", "bytes32[]", "bytes32[]", "bytes32[]",
)  # fmt: skip

DOMAIN = {
    "name": "string",
    "version": "string",
    "chainId": "uint256",
    "verifyingContract": "address",
    "salt": "bytes32",
}

each_kind = pytest.mark.parametrize("vector", COMMANDS, ids=lambda vector: vector["kind"])


def members(number: int) -> list[tuple[str, str]]:
    """(type, name) of each field of a kind."""
    inside = re.fullmatch(r"\w+\((.*)\)", FROZEN[number])
    assert inside
    return [(kind, name) for kind, name in (member.split(" ") for member in inside[1].split(","))]


def test_there_is_a_vector_for_each_kind() -> None:
    assert [int(vector["number"]) for vector in COMMANDS] == list(FROZEN) == list(KINDS)
    assert all(FROZEN[number].startswith(fields.__name__ + "(") for number, fields in KINDS.items())


@each_kind
def test_fields_and_id_by_hand(vector: Any) -> None:
    kind = int(vector["number"])
    fields = abi_encode([t for t, _ in members(kind)], [value(vector["fields"][name]) for _, name in members(kind)])
    assert raw(vector["encodedFields"]) == fields
    header = abi_encode(["uint8", "uint32", "bytes32", "bytes32"], [1, kind, MARKET, raw(vector["nonce"])])
    assert raw(vector["id"]) == tagged(b"em/id/1", header + fields)


@each_kind
def test_sign_digest_by_hand(vector: Any) -> None:
    content = [LEDGER, raw(vector["id"]), raw(vector["after"]), int(vector["validUntil"])]
    encoded = abi_encode(["bytes32", "bytes32", "bytes32", "uint64"], content)
    assert raw(vector["signDigest"]) == tagged(b"em/sign/1", encoded)


def _as_json(found: Any) -> Any:
    return list(found) if isinstance(found, tuple) else found


def typed_data(vector: Any, domain: dict[str, Any]) -> dict[str, Any]:
    kind = int(vector["number"])
    signed = [*members(kind), ("bytes32", "nonce"), ("bytes32", "after"), ("uint64", "validUntil")]
    given = {**vector["fields"], **{name: vector[name] for name in ("nonce", "after", "validUntil")}}
    return {
        "types": {
            "EIP712Domain": [{"name": name, "type": kind} for name, kind in DOMAIN.items() if name in domain],
            vector["kind"]: [{"name": name, "type": kind} for kind, name in signed],
        },
        "primaryType": vector["kind"],
        "domain": {**domain, **({"chainId": int(domain["chainId"])} if "chainId" in domain else {})},
        "message": {name: _as_json(value(given[name])) for _, name in signed},
    }


@each_kind
def test_wallet_digests_are_those_of_eth_account(vector: Any) -> None:
    described = FROZEN[int(vector["number"])][:-1] + ",bytes32 nonce,bytes32 after,uint64 validUntil)"
    assert vector["typedData"] == described
    seen = []
    for wallet in vector["walletDigests"]:
        message = encode_typed_data(full_message=typed_data(vector, wallet["domain"]))
        content = b"\x19" + message.version + message.header + message.body
        assert raw(wallet["digest"]) == keccak.new(digest_bits=256, data=content).digest()
        seen.append(tuple(name for name in ("chainId", "verifyingContract") if name in wallet["domain"]))
    assert seen == [(), ("chainId",), ("chainId", "verifyingContract"), ("verifyingContract",)]


@each_kind
def test_envelope_by_hand(vector: Any) -> None:
    marks = [raw(one["signature"]) for one in vector["signatures"]]
    content = [
        1, int(vector["number"]), MARKET, raw(vector["nonce"]), raw(vector["encodedFields"]), raw(vector["after"]),
        int(vector["validUntil"]), [raw(one["signer"]) for one in vector["signatures"]],
        [mark[:32] for mark in marks], [mark[32:] for mark in marks],
    ]  # fmt: skip
    assert raw(vector["envelope"]) == abi_encode(ENVELOPE, content)


@each_kind
def test_envelope_is_read_back(vector: Any) -> None:
    command = Command.from_bytes(raw(vector["envelope"]))
    assert command.id == command.envelope.id == raw(vector["id"])
    assert command.envelope.encode() == raw(vector["envelope"])
    assert type(command.fields).__name__ == vector["kind"]


@pytest.mark.parametrize("vector", VECTORS["batches"], ids=lambda vector: str(len(vector["commands"])))
def test_batch_by_hand(vector: Any) -> None:
    sent = COMMANDS[: len(vector["commands"])]
    assert vector["commands"] == [command["id"] for command in sent]
    digest = tagged(b"em/batch/1", LEDGER + b"".join(raw(command["signDigest"]) for command in sent))
    assert raw(vector["digest"]) == digest
    assert textbook_verifies(public(VECTORS["operator"]), digest, raw(vector["signature"]))
    envelopes = [raw(command["envelope"]) for command in sent]
    assert raw(vector["encoding"]) == abi_encode(["bytes[]", "bytes"], [envelopes, raw(vector["signature"])])
    assert Batch.decode(raw(vector["encoding"])) == Batch(tuple(envelopes), raw(vector["signature"]))


def test_predecessor_time_and_signatures_are_outside_the_id() -> None:
    envelope = Envelope.decode(raw(COMMANDS[-1]["envelope"]))
    other = replace(envelope, after=b"\x01" * 32, valid_until=5, signers=(bytes(32),), r=(bytes(32),), s=(bytes(32),))
    assert other.id == envelope.id
    for change in ({"nonce": bytes(32)}, {"market": bytes(32)}, {"kind": 999}, {"version": 2}, {"fields": b""}):
        assert replace(envelope, **change).id != envelope.id


ENVELOPES = [raw(vector["envelope"]) for vector in COMMANDS]


@given(st.sampled_from(ENVELOPES), st.data())
def test_a_changed_byte_of_an_envelope_gives_another_command_or_is_refused(good: bytes, data: st.DataObject) -> None:
    at, flip = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(1, 255))
    changed = good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :]
    try:
        command = Command.from_bytes(changed)
    except CommandError:
        return
    assert command != Command.from_bytes(good)
    assert command.envelope.encode() == changed


def test_a_batch_whose_entries_share_their_bytes_takes_no_more_memory_than_it_has() -> None:
    entry = word(50_000) + bytes(50_016)
    envelopes = word(200) + word(32 * 200) * 200 + entry
    content = word(64) + word(64 + len(envelopes)) + envelopes + word(0)
    tracemalloc.start()
    try:
        with pytest.raises(EncodingError):
            Batch.decode(content)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(content)
    finally:
        tracemalloc.stop()


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_by_name(content: bytes) -> None:
    with pytest.raises(CommandError):
        Command.from_bytes(content)
    with pytest.raises(EncodingError):
        Batch.decode(content)

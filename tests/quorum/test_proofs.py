"""What a QBFT chain proves to readers without a node: a recorded block, and one of a network that runs."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import rlp
from coincurve import PrivateKey

from deploy.quorum.network import Network
from evidence import canonical
from evidence.bundle import BundleError, EmbeddedLog, QuorumLog, dump, load
from evidence.canonical import encode_bytes
from evidence.eip712 import keccak256
from evidence.ethereum.headers import SealedHeader, block_hash
from evidence.ethereum.proof import LogPlace, ProvenBlock
from evidence.hashing import ZERO
from evidence.merkle import Path
from evidence.trust import EmbeddedTrust, QuorumTrust, Trust, TrustError, ValidatorSet
from evidence.verify import VerificationError
from evidence.verify.ledger import read_log
from tests.quorum.recording import STORED, record
from tests.vectors.read import vectors

Change = Callable[[list[Any]], object]


class Recording:
    """A block and what is proven of it, as `record` writes it."""

    def __init__(self, content: dict[str, Any]) -> None:
        trust = Trust.from_bytes(canonical.dumps(content["trust"]))
        assert isinstance(trust, QuorumTrust)
        self.trust = trust
        self.block = content["block"]
        self.ids = [bytes.fromhex(name) for name in content["ids"]]
        self.proofs = {name: _read(proof) for name, proof in content["proofs"].items()}

    @property
    def applied(self) -> ProvenBlock:
        return self.proofs["applied"]


def _read(written: dict[str, Any]) -> ProvenBlock:
    nodes = tuple(bytes.fromhex(node) for node in written["nodes"])
    return ProvenBlock(bytes.fromhex(written["header"]), nodes, tuple(LogPlace(*log) for log in written["logs"]))


@pytest.fixture(scope="module", params=["stored", pytest.param("running", marks=pytest.mark.quorum)])
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    if request.param == "stored":
        return Recording(vectors(f"recorded/{STORED.stem}"))
    network: Network = request.getfixturevalue("quorum_network")
    return Recording(json.loads(json.dumps(record(network, tmp_path_factory.mktemp("recorded")))))


@pytest.fixture
def stored() -> Recording:
    return Recording(vectors(f"recorded/{STORED.stem}"))


def ids(trust: QuorumTrust, *blocks: ProvenBlock) -> list[bytes]:
    proven, _ = read_log(QuorumLog(blocks), trust)
    assert [one.entry for one in proven] == list(range(len(proven)))
    return [one.command.id for one in proven]


def refusal_of(trust: QuorumTrust, *blocks: ProvenBlock) -> VerificationError:
    with pytest.raises(VerificationError) as refusal:
        ids(trust, *blocks)
    return refusal.value


def changed_bytes(content: bytes) -> Iterator[bytes]:
    """The content with each of its bytes changed in turn."""
    for at in range(len(content)):
        yield content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def seals_of(header: bytes) -> list[bytes]:
    return list(SealedHeader.decode(header).seals)


def with_seals(block: ProvenBlock, seals: list[bytes]) -> ProvenBlock:
    members = rlp.decode(block.header)
    extra = rlp.decode(members[12])
    members[12] = rlp.encode([*extra[:-1], seals])
    return replace(block, header=rlp.encode(members))


def strangers_seal(header: bytes) -> bytes:
    return PrivateKey().sign_recoverable(SealedHeader.decode(header).digest, hasher=None)


def test_applied_commands_are_proven_in_their_order(recording: Recording) -> None:
    assert ids(recording.trust, recording.applied) == recording.ids
    assert block_hash(recording.applied.header).hex() == recording.block
    _, check = read_log(QuorumLog((recording.applied,)), recording.trust)
    assert "3 commands are in 1 blocks" in check.text
    assert "3 of 4 validators" in check.text


@pytest.mark.timeout(600)
def test_each_changed_byte_is_refused(stored: Recording) -> None:
    block, trust = stored.applied, stored.trust
    for header in changed_bytes(block.header):
        assert refusal_of(trust, replace(block, header=header)).place == "ledger.blocks[0].header"
    for i, node in enumerate(block.nodes):
        for changed in changed_bytes(node):
            nodes = (*block.nodes[:i], changed, *block.nodes[i + 1 :])
            assert refusal_of(trust, replace(block, nodes=nodes)).place == "ledger.blocks[0].nodes"


def test_each_changed_byte_of_the_members_and_seals_of_a_header_is_refused(stored: Recording) -> None:
    """Those whose lengths and prefixes are right again, as a forger would leave them."""
    members = rlp.decode(stored.applied.header)
    for i, member in enumerate(members):
        for changed in changed_bytes(member):
            header = rlp.encode([*members[:i], changed, *members[i + 1 :]])
            refusal_of(stored.trust, replace(stored.applied, header=header))
    seals = seals_of(stored.applied.header)
    for i, seal in enumerate(seals):
        for changed in changed_bytes(seal):
            refusal_of(stored.trust, with_seals(stored.applied, [*seals[:i], changed, *seals[i + 1 :]]))


def test_three_of_four_seals_are_enough_and_two_are_too_few(recording: Recording) -> None:
    seals = seals_of(recording.applied.header)
    assert ids(recording.trust, with_seals(recording.applied, seals[:3])) == recording.ids
    assert "3 are needed" in str(refusal_of(recording.trust, with_seals(recording.applied, seals[:2])))
    assert "3 are needed" in str(refusal_of(recording.trust, with_seals(recording.applied, [])))


def test_a_seal_given_twice_counts_for_nothing(recording: Recording) -> None:
    seals = seals_of(recording.applied.header)
    doubled = with_seals(recording.applied, [*seals[:3], seals[0]])
    assert "twice" in str(refusal_of(recording.trust, doubled))
    assert "twice" in str(refusal_of(recording.trust, with_seals(recording.applied, [seals[0]] * 3)))


def test_a_strangers_seal_is_refused(recording: Recording) -> None:
    header = recording.applied.header
    for seals in ([*seals_of(header), strangers_seal(header)], [strangers_seal(header) for _ in range(4)]):
        assert "not among the validators" in str(refusal_of(recording.trust, with_seals(recording.applied, seals)))


def test_a_seal_with_the_other_s_is_refused(recording: Recording) -> None:
    """It would lead to the same address, and a proof could be written in two ways."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    first, *others = seals_of(recording.applied.header)
    high = first[:32] + (order - int.from_bytes(first[32:64], "big")).to_bytes(32, "big") + bytes([first[64] ^ 1])
    assert "one form" in str(refusal_of(recording.trust, with_seals(recording.applied, [high, *others])))


def test_the_chain_of_others_proves_nothing(recording: Recording) -> None:
    """It has as many validators, and the same content."""
    keys = [PrivateKey() for _ in range(4)]
    digest = SealedHeader.decode(recording.applied.header).digest
    forged = with_seals(recording.applied, [key.sign_recoverable(digest, hasher=None) for key in keys])
    assert "not among the validators" in str(refusal_of(recording.trust, forged))


def test_with_more_validators_the_same_seals_are_too_few(recording: Recording) -> None:
    strangers = frozenset(bytes([number]) * 20 for number in range(3))
    more = (ValidatorSet(0, sealers(recording) | strangers),)
    assert "5 are needed" in str(refusal_of(replace(recording.trust, validators=more), recording.applied))


# Validators voted in and out: the stored block at other heights, sealed by others


FORMER, LATTER = ([PrivateKey(bytes([number]) * 32) for number in numbers] for numbers in ((1, 2, 3, 4), (2, 3, 5)))


def sealers(recording: Recording) -> frozenset[bytes]:
    """Those who sealed the block are trusted for it, besides whoever did not."""
    return recording.trust.validators_of(SealedHeader.decode(recording.applied.header).number)


def addresses(keys: list[PrivateKey]) -> frozenset[bytes]:
    return frozenset(keccak256(key.public_key.format(compressed=False)[1:])[-20:] for key in keys)


def sealed_at(number: int, keys: list[PrivateKey], block: ProvenBlock) -> ProvenBlock:
    members = rlp.decode(block.header)
    members[8] = number.to_bytes((number.bit_length() + 7) // 8, "big")
    moved = replace(block, header=rlp.encode(members))
    digest = SealedHeader.decode(moved.header).digest
    return with_seals(moved, [key.sign_recoverable(digest, hasher=None) for key in keys])


@pytest.fixture
def voted(stored: Recording) -> QuorumTrust:
    """One set seals blocks 10 to 99, another one all after them."""
    sets = (ValidatorSet(10, addresses(FORMER)), ValidatorSet(100, addresses(LATTER)))
    trust = Trust.from_bytes(replace(stored.trust, validators=sets).encode())
    assert isinstance(trust, QuorumTrust)
    return trust


@pytest.mark.parametrize(
    ("number", "keys"), [(10, FORMER), (99, FORMER), (100, LATTER), (10**9, LATTER)], ids=lambda each: str(each)[:9]
)
def test_a_block_is_proven_by_the_set_of_its_number(
    number: int, keys: list[PrivateKey], voted: QuorumTrust, stored: Recording
) -> None:
    assert ids(voted, sealed_at(number, keys, stored.applied)) == stored.ids


def test_one_proof_has_blocks_of_several_sets(voted: QuorumTrust, stored: Recording) -> None:
    blocks = (sealed_at(99, FORMER, stored.applied), sealed_at(100, LATTER, stored.applied))
    proven, check = read_log(QuorumLog(blocks), voted)
    assert [one.command.id for one in proven] == stored.ids * 2
    assert check.text == "6 commands are in 2 blocks, 99 to 100, sealed by at least 3 of 4 or 2 of 3 validators"


@pytest.mark.parametrize(("number", "keys"), [(99, LATTER), (100, FORMER), (100, FORMER[1:3] + FORMER[:1])])
def test_the_set_of_other_blocks_proves_nothing(
    number: int, keys: list[PrivateKey], voted: QuorumTrust, stored: Recording
) -> None:
    refusal = refusal_of(voted, sealed_at(number, keys, stored.applied))
    assert refusal.place == "ledger.blocks[0].header"
    assert f"not among the validators that are trusted for block {number}" in str(refusal)


@pytest.mark.parametrize("keys", [[], FORMER], ids=["nobody", "the first set"])
def test_a_block_before_the_first_set_is_sealed_by_nobody(
    keys: list[PrivateKey], voted: QuorumTrust, stored: Recording
) -> None:
    refusal = refusal_of(voted, sealed_at(9, keys, stored.applied))
    assert refusal.place == "ledger.blocks[0].header"
    assert "nobody is trusted to seal block 9" in str(refusal)


def test_another_number_takes_the_seals_off_a_block(voted: QuorumTrust, stored: Recording) -> None:
    """Whoever has a block of today cannot pass it for one that another set may seal."""
    moved = sealed_at(99, FORMER, stored.applied)
    members = rlp.decode(moved.header)
    members[8] = bytes([98])
    refusal = refusal_of(voted, replace(moved, header=rlp.encode(members)))
    assert "not among the validators" in str(refusal)


def test_what_the_contract_refused_is_no_command(recording: Recording) -> None:
    refusal = refusal_of(recording.trust, recording.proofs["rejected"])
    assert (refusal.place, "refused with code" in str(refusal)) == ("ledger.blocks[0].logs[0]", True)


def test_another_contracts_log_is_refused(recording: Recording) -> None:
    foreign = recording.proofs["foreign"]
    refusal = refusal_of(recording.trust, foreign)
    assert (refusal.place, "another contract" in str(refusal)) == ("ledger.blocks[0].logs[0]", True)
    assert "another contract" in str(refusal_of(replace(recording.trust, contract=b"\1" * 20), recording.applied))


@pytest.mark.parametrize(
    "change",
    [
        lambda logs: logs.reverse(),
        lambda logs: logs.append(logs[-1]),
        lambda logs: logs.clear(),
        lambda logs: logs.append(LogPlace(logs[-1].transaction, 2)),
        lambda logs: logs.append(LogPlace(logs[-1].transaction + 1, 0)),
        lambda logs: logs.append(LogPlace(10**60, 0)),
        lambda logs: logs.pop(),
    ],
    ids=["turned round", "doubled", "none", "behind the last", "without its path", "far away", "surplus path"],
)
def test_logs_are_those_that_the_path_leads_to(stored: Recording, change: Change) -> None:
    logs: list[Any] = list(stored.applied.logs)
    change(logs)
    assert refusal_of(stored.trust, replace(stored.applied, logs=tuple(logs))).place.startswith("ledger.blocks[0].")


def test_a_block_that_proves_nothing_is_refused(stored: Recording) -> None:
    refusal = refusal_of(stored.trust, replace(stored.applied, nodes=(), logs=()))
    assert refusal.place == "ledger.blocks[0].logs"


def test_a_block_is_there_once(recording: Recording) -> None:
    assert "each once" in str(refusal_of(recording.trust, recording.applied, recording.applied))


def test_a_bundle_without_a_block_proves_nothing(stored: Recording) -> None:
    assert refusal_of(stored.trust).place == "ledger.blocks"


def test_the_proof_is_of_the_kind_that_is_trusted(stored: Recording) -> None:
    embedded = EmbeddedTrust(stored.trust.ledger, stored.trust.market, ZERO)
    log = EmbeddedLog("", Path(0, ()), ())
    for proof, trust in ((QuorumLog((stored.applied,)), embedded), (log, stored.trust)):
        with pytest.raises(VerificationError) as refusal:
            read_log(proof, trust)
        assert refusal.value.place == "ledger.kind"


def bundle_with(ledger: object) -> bytes:
    content = {"type": "energymarket/bundle/1", "document": {}, "salt": encode_bytes(ZERO), "days": [], "batches": []}
    return canonical.dumps({**content, "ledger": ledger})


def test_a_bundle_reads_back_as_it_was_written(stored: Recording) -> None:
    bundle = replace(load(bundle_with({"kind": "quorum", "blocks": []})), log=QuorumLog((stored.applied,)))
    assert load(dump(bundle)) == bundle


@pytest.mark.parametrize(
    "ledger",
    [
        {},
        [],
        "quorum",
        {"kind": "tangle", "blocks": []},
        {"kind": ["quorum"], "blocks": []},
        {"kind": "quorum"},
        {"kind": "quorum", "blocks": {}},
        {"kind": "quorum", "blocks": [], "checkpoint": ""},
        {"kind": "quorum", "blocks": [{"header": "", "nodes": [], "logs": [], "root": ""}]},
        {"kind": "quorum", "blocks": [{"header": "=", "nodes": [], "logs": []}]},
        {"kind": "quorum", "blocks": [{"header": "", "nodes": [["AA"]], "logs": []}]},
        {"kind": "quorum", "blocks": [{"header": "", "nodes": [], "logs": [{"transaction": "-1", "index": "0"}]}]},
        {"kind": "quorum", "blocks": [{"header": "", "nodes": [], "logs": [{"transaction": "0", "index": "01"}]}]},
        {"kind": "quorum", "blocks": [{"header": "", "nodes": [], "logs": [{"transaction": "0"}]}]},
    ],
    ids=str,
)
def test_ledger_sections_of_another_form_are_refused_by_name(ledger: object) -> None:
    with pytest.raises(BundleError, match=r"^ledger"):
        load(bundle_with(ledger))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "embedded"},
        {"kind": "fabric"},
        {"kind": True},
        {"validators": []},
        {"validators": "ITvCDVYZmAi1GHPHCzpkZQshddU"},
        {"validators": ["ITvCDVYZmAi1GHPHCzpkZQshddU"] * 2},
        {"validators": ["AAAA"]},
        {"contract": "AAAA"},
        {"chain": "0x67932"},
        {"checkpoint_key": "AAAA"},
        {"type": "energymarket/trust/2"},
    ],
    ids=str,
)
def test_trust_anchors_of_another_form_are_refused(stored: Recording, change: dict[str, Any]) -> None:
    written = json.loads(stored.trust.encode())
    assert Trust.from_bytes(canonical.dumps(written)) == stored.trust
    with pytest.raises(TrustError):
        Trust.from_bytes(canonical.dumps({**written, **change}))

"""What a Fabric channel proves to readers without a node: a recorded block, and one of a network that runs."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from deploy.fabric.network import Network
from evidence import canonical
from evidence.bundle import BundleError, FabricLog, dump, load
from evidence.canonical import encode_bytes
from evidence.fabric.block import BlockSignature, OrderedBlock, OutcomePlace, envelopes
from evidence.fabric.identities import Organisation
from evidence.hashing import ZERO
from evidence.trust import EmbeddedTrust, FabricTrust, Trust, TrustError
from evidence.verify import VerificationError
from evidence.verify.ledger import read_log
from ledger_adapters.fabric.adapter import FabricLedger, Options
from ledger_adapters.fabric.gateway import IdentityFiles
from tests.evidence.fabric_made import Msp
from tests.fabric.conftest import Market
from tests.fabric.recording import STORED, record
from tests.vectors.read import vectors

Change = Callable[[list[Any]], object]


class Recording:
    """A block and what is shown of it, as `record` writes it."""

    def __init__(self, content: dict[str, Any]) -> None:
        trust = Trust.from_bytes(canonical.dumps(content["trust"]))
        assert isinstance(trust, FabricTrust)
        self.trust = trust
        self.ids = [bytes.fromhex(id) for id in content["ids"]]
        self.applied = block_in(content["block"])
        self.rejected, self.alone = (
            replace(self.applied, outcomes=(OutcomePlace(*content[name]),)) for name in ("rejected", "alone")
        )


def block_in(written: dict[str, Any]) -> OrderedBlock:
    log = load(bundle_with({"kind": "fabric", "blocks": [written]})).log
    assert isinstance(log, FabricLog)
    return log.blocks[0]


def bundle_with(ledger: object) -> bytes:
    content = {"type": "energymarket/bundle/1", "document": {}, "salt": encode_bytes(ZERO), "days": [], "batches": []}
    return canonical.dumps({**content, "ledger": ledger})


@pytest.fixture(scope="module", params=["stored", pytest.param("running", marks=pytest.mark.fabric)])
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    if request.param == "stored":
        return Recording(vectors(f"recorded/{STORED.stem}"))
    network: Network = request.getfixturevalue("fabric_network")
    market: Market = request.getfixturevalue("founded")
    ledger = ledger_of(network, market, tmp_path_factory.mktemp("keys"))
    with closing(ledger.gateway):
        return Recording(json.loads(json.dumps(record(ledger))))


def ledger_of(network: Network, market: Market, keys: Path) -> FabricLedger:
    """The tests' market as a ledger."""
    options = Options.read("fabric", {**network.description.options("utility"), "KEYS": keys})
    identities = IdentityFiles(options.msp_id, options.certificate, options.private_key)
    return FabricLedger("fabric", options, identities, market.operator)


@pytest.fixture
def stored() -> Recording:
    return Recording(vectors(f"recorded/{STORED.stem}"))


def ids(trust: FabricTrust, *blocks: OrderedBlock) -> list[bytes]:
    proven, _ = read_log(FabricLog(blocks), trust)
    assert [one.entry for one in proven] == list(range(len(proven)))
    return [one.command.id for one in proven]


def refusal_of(trust: FabricTrust, *blocks: OrderedBlock) -> VerificationError:
    with pytest.raises(VerificationError) as refusal:
        ids(trust, *blocks)
    return refusal.value


def changed_bytes(content: bytes) -> Iterator[bytes]:
    """The content with each of its bytes changed in turn."""
    for at in range(len(content)):
        yield content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def test_applied_commands_are_proven_in_their_order(recording: Recording) -> None:
    assert ids(recording.trust, recording.applied) == recording.ids
    _, check = read_log(FabricLog((recording.applied,)), recording.trust)
    assert "3 commands are in 1 blocks" in check.text
    assert "signed by OrdererMSP" in check.text
    assert "CommunityMSP and UtilityMSP have endorsed each" in check.text
    assert "confirmed by a node only" in check.text


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # in a certificate with a changed byte
@pytest.mark.timeout(600)
def test_each_changed_byte_is_refused(stored: Recording) -> None:
    block, trust = stored.applied, stored.trust
    (signature,) = block.signatures
    for metadata in changed_bytes(block.metadata):
        assert refusal_of(trust, replace(block, metadata=metadata)).place == "ledger.blocks[0].signatures"
    for previous in changed_bytes(block.previous):
        assert refusal_of(trust, replace(block, previous=previous)).place == "ledger.blocks[0].signatures"
    for signer in changed_bytes(signature.signer):
        refusal_of(trust, replace(block, signatures=(replace(signature, signer=signer),)))
    for signed in changed_bytes(signature.signature):
        refusal_of(trust, replace(block, signatures=(replace(signature, signature=signed),)))
    for number in (block.number + 1, block.number - 1, 0, 2**64, 10**60):
        assert refusal_of(trust, replace(block, number=number)).place == "ledger.blocks[0].signatures"
    # The orderers' signature covers them all; tests/evidence/test_fabric.py changes each where orderers lie.
    for data in islice(changed_bytes(block.data), 0, None, 11):
        assert refusal_of(trust, replace(block, data=data)).place.startswith("ledger.blocks[0].")


def test_what_one_organisation_endorsed_alone_is_refused(recording: Recording) -> None:
    """It stands in the block, as invalid, which its signature does not say."""
    refusal = refusal_of(recording.trust, recording.alone)
    assert "CommunityMSP has not endorsed" in str(refusal)
    assert refusal.place.startswith("ledger.blocks[0].data[")
    one = tuple(each for each in recording.trust.endorsers if each.msp == "UtilityMSP")
    assert len(ids(replace(recording.trust, endorsers=one), recording.alone)) == 1


def test_what_the_chaincode_refused_is_no_command(recording: Recording) -> None:
    refusal = refusal_of(recording.trust, recording.rejected)
    assert (refusal.place, "refused with code" in str(refusal)) == ("ledger.blocks[0].outcomes[0]", True)


def test_another_channel_and_another_chaincode_are_refused(recording: Recording) -> None:
    elsewhere = replace(recording.trust, channel="other")
    assert "channel 'market'" in str(refusal_of(elsewhere, recording.applied))
    other = replace(recording.trust, chaincode="other")
    assert "chaincode 'market'" in str(refusal_of(other, recording.applied))


def test_a_strangers_authorities_vouch_for_nobody(recording: Recording) -> None:
    trust = recording.trust
    for strange in (
        replace(trust, endorsers=tuple(Msp(each.msp).organisation for each in trust.endorsers)),
        replace(trust, orderers=tuple(Msp(each.msp).organisation for each in trust.orderers)),
    ):
        assert "no authority that is trusted" in str(refusal_of(strange, recording.applied))


def test_authorities_that_have_been_renewed_stand_beside_each_other(recording: Recording) -> None:
    def renewed(each: Organisation) -> Organisation:
        return Organisation(each.msp, tuple(sorted((*each.authorities, *Msp(each.msp).organisation.authorities))))

    endorsers = tuple(renewed(each) for each in recording.trust.endorsers)
    assert ids(replace(recording.trust, endorsers=endorsers), recording.applied) == recording.ids


def test_a_block_without_a_signature_is_refused(stored: Recording) -> None:
    assert "no orderer has signed" in str(refusal_of(stored.trust, replace(stored.applied, signatures=())))
    empty = replace(stored.applied, signatures=(BlockSignature(b"", b""),))
    assert refusal_of(stored.trust, empty).place == "ledger.blocks[0].signatures"


def test_the_blocks_transactions_are_there_whole(stored: Recording) -> None:
    held = envelopes(stored.applied.data)
    for data in (b"".join(held[:-1]), b"".join(held[::-1]), stored.applied.data + held[0], b""):
        refusal_of(stored.trust, replace(stored.applied, data=data))


@pytest.mark.parametrize(
    "change",
    [
        lambda places: places.reverse(),
        lambda places: places.append(places[-1]),
        lambda places: places.clear(),
        lambda places: places.append(OutcomePlace(places[-1].transaction, 9)),
        lambda places: places.append(OutcomePlace(9, 0)),
        lambda places: places.append(OutcomePlace(10**60, 0)),
    ],
    ids=["turned round", "doubled", "none", "behind the last", "no such transaction", "far away"],
)
def test_outcomes_are_those_of_the_block(stored: Recording, change: Change) -> None:
    places: list[Any] = list(stored.applied.outcomes)
    change(places)
    refusal = refusal_of(stored.trust, replace(stored.applied, outcomes=tuple(places)))
    assert refusal.place.startswith("ledger.blocks[0].outcomes")


def test_a_block_is_there_once(recording: Recording) -> None:
    assert "each once" in str(refusal_of(recording.trust, recording.applied, recording.applied))


def test_a_bundle_without_a_block_proves_nothing(stored: Recording) -> None:
    assert refusal_of(stored.trust).place == "ledger.blocks"


def test_the_proof_is_of_the_kind_that_is_trusted(stored: Recording) -> None:
    embedded = EmbeddedTrust(stored.trust.ledger, stored.trust.market, ZERO)
    with pytest.raises(VerificationError) as refusal:
        read_log(FabricLog((stored.applied,)), embedded)
    assert refusal.value.place == "ledger.kind"


def test_a_bundle_reads_back_as_it_was_written(stored: Recording) -> None:
    bundle = replace(load(bundle_with({"kind": "fabric", "blocks": []})), log=FabricLog((stored.applied,)))
    assert load(dump(bundle)) == bundle


BLOCK = {"number": "1", "previous": encode_bytes(ZERO), "data": "", "metadata": "", "signatures": [], "outcomes": []}


@pytest.mark.parametrize(
    "block",
    [
        {},
        [],
        {**BLOCK, "root": ""},
        {**BLOCK, "number": "-1"},
        {**BLOCK, "number": "01"},
        {**BLOCK, "previous": "AAAA"},
        {**BLOCK, "data": "="},
        {**BLOCK, "data": []},
        {**BLOCK, "signatures": [{"signer": ""}]},
        {**BLOCK, "signatures": [{"signer": "", "signature": "", "more": ""}]},
        {**BLOCK, "outcomes": [{"transaction": "-1", "index": "0"}]},
        {**BLOCK, "outcomes": [{"transaction": "0"}]},
    ],
    ids=str,
)
def test_blocks_of_another_form_are_refused_by_name(block: object) -> None:
    load(bundle_with({"kind": "fabric", "blocks": [BLOCK]}))
    with pytest.raises(BundleError, match=r"^ledger\.blocks\[0\]"):
        load(bundle_with({"kind": "fabric", "blocks": [block]}))


def first(organisations: list[Any], **changes: object) -> list[Any]:
    return [{**organisations[0], **changes}, *organisations[1:]]


@pytest.mark.parametrize(
    "change",
    [
        lambda _: {"kind": "quorum"},
        lambda _: {"channel": ""},
        lambda _: {"chaincode": []},
        lambda _: {"checkpoint_key": "AAAA"},
        lambda _: {"endorsers": []},
        lambda _: {"orderers": []},
        lambda _: {"orderers": "OrdererMSP"},
        lambda trust: {"endorsers": trust["endorsers"][::-1]},
        lambda trust: {"endorsers": trust["endorsers"][:1] * 2},
        lambda trust: {"endorsers": first(trust["endorsers"], msp="")},
        lambda trust: {"endorsers": first(trust["endorsers"], more="")},
        lambda trust: {"endorsers": first(trust["endorsers"], authorities=[])},
        lambda trust: {"endorsers": first(trust["endorsers"], authorities=["AAAA"])},
        lambda trust: {"endorsers": first(trust["endorsers"], authorities=trust["orderers"][0]["authorities"] * 2)},
    ],
)
def test_trust_anchors_of_another_form_are_refused(
    stored: Recording, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    written = json.loads(stored.trust.encode())
    assert Trust.from_bytes(canonical.dumps(written)) == stored.trust
    with pytest.raises(TrustError):
        Trust.from_bytes(canonical.dumps({**written, **change(written)}))

"""From the market's contract to the verified invoice: what the adapter proves, on a chain that runs."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rlp
from web3.exceptions import Web3RPCError

from deploy.quorum.network import Network
from energymarket.settings.environment import PROJECT_DIR
from evidence.bundle import QuorumLog, dump, load
from evidence.commands import Command, Fields, wallet_digest
from evidence.commands.kinds import RegisterParticipant
from evidence.ethereum.headers import SealedHeader, block_hash
from evidence.ethereum.proof import ProvenBlock
from evidence.ethereum.receipts import outcome_of, read_logs
from evidence.ethereum.trie import read_items
from evidence.keys import Algorithm, SoftwareKey
from evidence.trust import QuorumTrust, Trust, ValidatorSet
from evidence.verify import VerificationError, verify
from evidence.verify.ledger import read_log
from ledger_adapters.base import Lane
from ledger_adapters.contract.records import Custody
from ledger_adapters.exceptions import LedgerError, Misconfigured
from ledger_adapters.quorum import proofs
from ledger_adapters.quorum.adapter import QuorumLedger
from tests.evm import EvmNode
from tests.quorum.conftest import SETTINGS, running_network
from tests.quorum.recording import NO_ROLE, registration
from tests.spine.test_verifier_adversary import LEDGER, MARKET, Forgery, bobs_invoice, key_of, name

COMMUNITY = key_of("community").public_key
WALLET = SoftwareKey(Algorithm.SECP256K1, name("bob's wallet"))


def founded(folder: Path, rpc: list[str], chain: int, **options: Any) -> QuorumLedger:
    settings = {"RPC": rpc, "CHAIN_ID": chain, "KEYS": folder / "keys", "DEPLOYMENT": folder / "contract", **options}
    ledger = QuorumLedger.from_options("quorum", settings)
    ledger.found(LEDGER, MARKET, COMMUNITY)
    return ledger


def submit(ledger: QuorumLedger, *commands: Command, last: bytes | None = None) -> bytes:
    transaction = ledger.prepare([command.envelope.encode() for command in commands], Lane(0, last))
    ledger.submit(transaction)
    outcomes = ledger.outcome(transaction.id)
    assert outcomes is not None, "the transaction is not on the chain"
    return transaction.payload


# A chain of four validators


class OnChain(Forgery):
    """Nothing is forged: the commands go to the contract, in two transactions, and bob signs with a wallet."""

    ledger: QuorumLedger

    def _log(self, wanted: list[tuple[Fields, str]]) -> QuorumLog:
        commands = [self._signed(index, *one) for index, one in enumerate(wanted)]
        last = submit(self.ledger, *commands[:6])
        submit(self.ledger, *commands[6:], last=last)
        return QuorumLog(self.ledger.prove([command.id for command in commands]).blocks)

    def _signed(self, index: int, fields: Fields, signer: str) -> Command:
        if isinstance(fields, RegisterParticipant) and fields.participant == name("bob"):
            key = WALLET.public_key
            fields = replace(fields, algorithm=key.algorithm, x=key.x, y=key.y, custody=Custody.OWN)
        command = Command(MARKET, name(f"nonce {index}"), fields)
        if signer == "bob":
            digest = wallet_digest(self.ledger.wallet_domain(), command)
            return replace(command, signatures=((WALLET.public_key.id, WALLET.sign(digest)),))
        return command.signed_by(LEDGER, key_of(signer)) if signer else command


@pytest.fixture(scope="module")
def ledger(quorum_network: Network, tmp_path_factory: pytest.TempPathFactory) -> QuorumLedger:
    rpc = [node.rpc for node in quorum_network.nodes]
    return founded(tmp_path_factory.mktemp("market"), rpc, quorum_network.settings.chain_id)


def invoice_on(ledger: QuorumLedger) -> bytes:
    invoice = bobs_invoice()
    on_chain = OnChain(**{member: getattr(invoice, member) for member in invoice.__dataclass_fields__})
    on_chain.ledger = ledger
    return on_chain.bundle()


@pytest.mark.quorum
def test_an_invoice_is_verified_by_what_the_validators_sealed(ledger: QuorumLedger) -> None:
    bundle, trust = invoice_on(ledger), ledger.trust()
    report = verify(bundle, trust.encode())
    assert report.figures.total_minor > 0
    assert report.grades == {1: 350}
    assert "3 of 4 validators" in report.checks[0].text
    log = load(bundle).log
    assert isinstance(log, QuorumLog)
    assert len(log.blocks) == 2
    turned = replace(load(bundle), log=QuorumLog(log.blocks[::-1]))
    with pytest.raises(VerificationError, match="chain's order"):
        verify(dump(turned), trust.encode())
    elsewhere = replace(trust, contract=b"\1" * 20)
    with pytest.raises(VerificationError, match="another contract"):
        verify(bundle, elsewhere.encode())
    another = replace(trust, chain=trust.chain + 1)
    with pytest.raises(VerificationError, match="signature of the one who asked"):
        verify(bundle, another.encode())


@pytest.mark.quorum
def test_the_validators_that_are_trusted_are_those_of_the_network(
    ledger: QuorumLedger, quorum_network: Network
) -> None:
    trust = ledger.trust()
    addresses = trust.validators_of(ledger.w3.eth.block_number)
    assert {"0x" + address.hex() for address in addresses} == {node.address for node in quorum_network.nodes}
    assert (trust.ledger, trust.market, trust.chain) == (LEDGER, MARKET, quorum_network.settings.chain_id)


@pytest.mark.quorum
def test_headers_that_name_others_than_the_votes_are_not_trusted(
    ledger: QuorumLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(ledger, registration(ledger))
    monkeypatch.setattr(proofs, "_counted", lambda _w3, _block: frozenset({bytes(20)}))
    with pytest.raises(LedgerError, match="names others than those who may seal it"):
        ledger.trust()


@pytest.mark.quorum
def test_an_invoice_is_verified_by_what_ibft_validators_sealed(tmp_path: Path) -> None:
    """Their seals stand elsewhere in the header, and over something else, than those of QBFT."""
    with running_network(tmp_path / "network", replace(SETTINGS, consensus="ibft")) as network:
        ledger = founded(tmp_path, [node.rpc for node in network.nodes], network.settings.chain_id)
        bundle, trust = invoice_on(ledger), ledger.trust()
        applied = [event.outcome for page in ledger.pages() for event in page.events]
        addresses = {node.address for node in network.nodes}
    assert {"0x" + address.hex() for address in trust.validators_of(0)} == addresses
    log = load(bundle).log
    assert isinstance(log, QuorumLog)
    proven, _ = read_log(log, trust)
    assert [one.command.id for one in proven] == [outcome.id for outcome in applied]
    code, said = verified_alone(tmp_path, bundle, trust)
    assert (code, "sealed by at least 3 of 4 validators" in said) == (0, True)
    strangers = replace(trust, validators=(ValidatorSet(0, frozenset({bytes(20)})),))
    code, said = verified_alone(tmp_path, bundle, strangers)
    assert (code, "not among the validators that are trusted" in said) == (1, True)


def verified_alone(folder: Path, bundle: bytes, trust: QuorumTrust) -> tuple[int, str]:
    """By the program that readers have, which knows nothing but two files."""
    (folder / "bundle.json").write_bytes(bundle)
    (folder / "anchors.json").write_bytes(trust.encode())
    program = [sys.executable, "-m", "evidence.verify", "bundle.json", "--trust", "anchors.json"]
    found = subprocess.run(program, cwd=folder, env={"PYTHONPATH": str(PROJECT_DIR)}, capture_output=True, text=True)
    return found.returncode, found.stdout


@pytest.mark.quorum
def test_one_trust_file_serves_before_between_and_after_votes(tmp_path: Path) -> None:
    """With one validator and with two everybody has to seal, so that no set's blocks pass for those of the other."""
    with running_network(tmp_path / "network", replace(SETTINGS, validators=1)) as network:
        ledger = founded(tmp_path, [network.nodes[0].rpc], network.settings.chain_id)
        before = registration(ledger)
        last = submit(ledger, before)
        early = ledger.trust()
        network.join("second")
        network.vote("second", is_in=True)
        between = registration(ledger)
        last = submit(ledger, between, last=last)
        network.vote("second", is_in=False)
        after = registration(ledger)
        submit(ledger, after, last=last)
        trust = Trust.from_bytes(ledger.trust().encode())
        blocks = ledger.prove([before.id, between.id, after.id]).blocks
        first, second = (bytes.fromhex(node.address[2:]) for node in network.nodes)
    assert isinstance(trust, QuorumTrust)
    assert [each.addresses for each in trust.validators] == [{first}, {first, second}, {first}]
    proven, check = read_log(QuorumLog(blocks), trust)
    assert [one.command for one in proven] == [before, between, after]
    assert check.text.endswith("sealed by at least 2 of 2 or 1 of 1 validators")
    numbers = [SealedHeader.decode(block.header).number for block in blocks]
    voted_in, voted_out = (each.first for each in trust.validators[1:])
    assert numbers[0] < voted_in <= numbers[1] < voted_out <= numbers[2]
    assert early.validators == trust.validators[:1]
    with pytest.raises(VerificationError, match=f"not among the validators that are trusted for block {numbers[1]}"):
        read_log(QuorumLog(blocks), early)
    late = replace(early, validators=(ValidatorSet(0, frozenset({first, second})),))
    with pytest.raises(VerificationError, match="sealed by 1 of 2 validators, 2 are needed"):
        read_log(QuorumLog(blocks), late)


# A chain that nobody seals


@pytest.fixture(scope="module")
def unsealed(evm_node: EvmNode, tmp_path_factory: pytest.TempPathFactory) -> QuorumLedger:
    return founded(tmp_path_factory.mktemp("market"), [evm_node.rpc], evm_node.chain_id)


@pytest.mark.evm
def test_a_proof_leads_up_to_the_header_of_the_block(unsealed: QuorumLedger) -> None:
    commands = [registration(unsealed) for _ in range(5)]
    last = submit(unsealed, *commands[:3])
    submit(unsealed, *commands[3:], last=last)
    blocks = unsealed.prove([commands[number].id for number in (4, 0, 2)]).blocks
    assert [command.id for block in blocks for command in shown(unsealed, block)] == [
        commands[number].id for number in (0, 2, 4)
    ]


def shown(ledger: QuorumLedger, block: ProvenBlock) -> list[Command]:
    """The commands that a block's receipts hold, where its header is that of the chain."""
    members = rlp.decode(block.header)
    assert block_hash(block.header) == ledger.w3.eth.get_block(int.from_bytes(members[8], "big"))["hash"]
    transactions = sorted({log.transaction for log in block.logs})
    receipts = dict(zip(transactions, read_items(members[5], block.nodes, transactions), strict=True))
    contract = bytes.fromhex(ledger.market.address[2:])
    logs = [read_logs(receipts[log.transaction])[log.index] for log in block.logs]
    return [Command.from_bytes(outcome_of(log, contract).envelope) for log in logs]


@pytest.mark.evm
def test_only_what_was_applied_is_proven(unsealed: QuorumLedger) -> None:
    applied, rejected, unknown = registration(unsealed), registration(unsealed, NO_ROLE), registration(unsealed)
    submit(unsealed, applied, rejected)
    for command in (rejected, unknown):
        with pytest.raises(KeyError, match=command.id.hex()):
            unsealed.prove([applied.id, command.id])
    assert unsealed.prove([]).blocks == ()


@pytest.mark.evm
def test_a_command_that_was_refused_before_is_proven_where_it_was_applied(unsealed: QuorumLedger) -> None:
    first = registration(unsealed)
    second = replace(registration(unsealed), after=first.id)
    last = submit(unsealed, second)
    last = submit(unsealed, first, last=last)
    submit(unsealed, second, last=last)
    (block,) = unsealed.prove([second.id]).blocks
    assert shown(unsealed, block) == [second]
    assert int.from_bytes(rlp.decode(block.header)[8], "big") == unsealed.w3.eth.block_number


@pytest.mark.evm
def test_a_node_that_takes_small_ranges_only_is_asked_for_those(
    unsealed: QuorumLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = registration(unsealed)
    submit(unsealed, command)
    whole = unsealed.w3.eth.get_logs
    widths = []

    def narrow(wanted: Any) -> Any:
        widths.append(wanted["toBlock"] - wanted["fromBlock"] + 1)
        if widths[-1] > 3:
            raise Web3RPCError("query exceeds max block range 3")
        return whole(wanted)

    monkeypatch.setattr(unsealed.w3.eth, "get_logs", narrow)
    (block,) = unsealed.prove([command.id]).blocks
    assert shown(unsealed, block) == [command]
    assert widths[0] > 3


@pytest.mark.evm
def test_receipts_that_do_not_fit_the_header_are_no_proof(
    unsealed: QuorumLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = registration(unsealed)
    submit(unsealed, command)
    whole = unsealed.w3.eth.get_block_receipts

    def altered(block: Any) -> Any:
        return [{**receipt, "cumulativeGasUsed": receipt["cumulativeGasUsed"] + 1} for receipt in whole(block)]

    monkeypatch.setattr(unsealed.w3.eth, "get_block_receipts", altered)
    with pytest.raises(LedgerError, match="do not lead to the root"):
        unsealed.prove([command.id])


@pytest.mark.evm
def test_a_header_that_is_not_the_blocks_is_no_proof(unsealed: QuorumLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    command = registration(unsealed)
    submit(unsealed, command)
    whole = unsealed.w3.eth.get_block
    monkeypatch.setattr(unsealed.w3.eth, "get_block", lambda number: {**whole(number), "gasUsed": 1})
    with pytest.raises(LedgerError, match="not the one that its hash"):
        unsealed.prove([command.id])


@pytest.mark.evm
def test_where_nobody_seals_there_is_nothing_to_trust(unsealed: QuorumLedger) -> None:
    with pytest.raises(Misconfigured, match="no validators"):
        unsealed.trust()

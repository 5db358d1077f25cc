"""Who may change or stop the contracts: both parties together, nobody else; and what a batch does without gas."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from eth_account import Account
from web3.exceptions import ContractCustomError, ContractLogicError, Web3Exception
from web3.types import Wei

from evidence.commands.kinds import CloseLedger, OpenImport, RotateDeviceKey, SealImport
from evidence.eip712 import keccak256
from evidence.hashing import ZERO, tagged
from evidence.keys import SoftwareKey
from evidence.state import state_root
from ledger_adapters.contract import Code, Genesis
from ledger_adapters.contract.records import AppliedId, Participant
from ledger_adapters.quorum.market import artefact
from tests.evm import EvmNode
from tests.quorum.contract_commands import day_of_wallets, struct
from tests.quorum.contracts import (
    GENESIS,
    NOBODY,
    PAUSE,
    UNPAUSE,
    UPGRADE,
    Market,
    Sender,
    Twins,
    deploy,
)
from tests.vectors.contract_cases import COMMIT, REGISTER_PARTICIPANT, SUCCEEDING, of
from tests.vectors.market import ALICE, BOB, COMMUNITY, LEDGER, MARKET, UTILITY, batch, command, ident, secp256k1

pytestmark = pytest.mark.evm

BOTH = (UTILITY, COMMUNITY)


@pytest.fixture(scope="module")
def sender(evm_node: EvmNode) -> Sender:
    return Sender.at(evm_node.rpc, evm_node.sender_keys[0])


@pytest.fixture(scope="module")
def founded(sender: Sender) -> Market:
    return deploy(sender, GENESIS)


@pytest.fixture
def market(evm_node: EvmNode, founded: Market) -> Iterator[Market]:
    snapshot = evm_node.call("evm_snapshot")
    yield founded
    assert evm_node.call("evm_revert", snapshot)


def error(name: str) -> str:
    """The selector of one of the market's named errors, as it comes back from a call."""
    [found] = [entry for entry in artefact("IMarket")["abi"] if entry["type"] == "error" and entry["name"] == name]
    types = ",".join(argument["type"] for argument in found["inputs"])
    return "0x" + keccak256(f"{name}({types})".encode())[:4].hex()


def refused(call: Any, name: str) -> bool:
    """Whether the call is reverted with this error."""
    with pytest.raises(ContractCustomError) as caught:
        call.call()
    return str(caught.value.data).startswith(error(name))


def test_founding_writes_the_genesis_record_once(market: Market) -> None:
    assert market.read([Genesis.key()]) == {Genesis.key(): GENESIS.encode()}
    [event] = market.contract.events.Founded().get_logs(from_block=0, argument_filters={"ledger": LEDGER})[-1:]
    assert event["args"] == {"ledger": GENESIS.ledger, "market": GENESIS.market}


def test_participant_is_registered_end_to_end(market: Market) -> None:
    twins = Twins(market, {Genesis.key(): GENESIS.encode()})
    sent = of(REGISTER_PARTICIPANT)
    assert [one.code for one in twins.submit(batch([sent]))] == [Code.APPLIED]
    assert [one.code for one in twins.submit(batch([sent]))] == [Code.ALREADY_APPLIED]
    assert twins.agree()
    assert state_root(market.read(twins.state)) == state_root(twins.state)


def test_sender_without_ether_or_name_can_submit(evm_node: EvmNode, market: Market) -> None:
    stranger = Sender.at(evm_node.rpc, "0x" + ident("stranger").hex())
    receipt = stranger.send(market.call(batch([of(REGISTER_PARTICIPANT)])))
    assert [one.code for one in market.client.outcomes(batch([of(REGISTER_PARTICIPANT)]), receipt)] == [Code.APPLIED]


def test_upgrade_keeps_address_state_and_old_events(market: Market) -> None:
    sent = of(REGISTER_PARTICIPANT)
    market.submit(batch([sent]))
    before = market.read([Participant.key(sent.fields.participant), AppliedId.key(sent.id)])  # type: ignore[attr-defined]
    registry = market.sender.deploy("Registry").address
    assert market.upgrade(1, registry, BOTH)["status"] == 1
    assert market.contract.functions.moduleAt(1).call() == registry
    assert market.read(list(before)) == before and len(before) == 2
    [event] = market.contract.events.Outcome().get_logs(from_block=0, argument_filters={"id": sent.id})[-1:]
    assert event["args"]["envelope"] == sent.envelope.encode()
    again = command(REGISTER_PARTICIPANT, nonce="second")
    seen = [one.code for one in market.submit(batch([sent, again]))]
    assert seen == [Code.ALREADY_APPLIED, Code.ALREADY_REGISTERED]


@pytest.mark.parametrize(
    "keys", [(UTILITY, UTILITY), (COMMUNITY, COMMUNITY), (COMMUNITY, UTILITY), (UTILITY, ALICE), (ALICE, COMMUNITY)]
)
def test_one_party_alone_changes_nothing(market: Market, keys: Sequence[SoftwareKey]) -> None:
    registry = market.sender.deploy("Registry").address
    functions = market.contract.functions
    signatures = market.approvals(UPGRADE, 1, registry, keys=keys)
    assert refused(functions.upgrade(1, registry, *signatures), "MarketNotApproved")
    assert refused(functions.upgrade(1, registry, signatures[0], b""), "MarketNotApproved")
    assert refused(functions.pause(*market.approvals(PAUSE, keys=keys)), "MarketNotApproved")


def test_approval_is_good_for_one_thing_and_once(market: Market) -> None:
    registry, other = (market.sender.deploy("Registry").address for _ in range(2))
    functions = market.contract.functions
    signatures = market.approvals(UPGRADE, 1, registry, keys=BOTH)
    assert refused(functions.upgrade(2, registry, *signatures), "MarketNotApproved")
    assert refused(functions.upgrade(1, other, *signatures), "MarketNotApproved")
    assert refused(functions.pause(*signatures), "MarketNotApproved")
    assert market.sender.send(functions.upgrade(1, registry, *signatures))["status"] == 1
    assert functions.approvals().call() == 1
    assert refused(functions.upgrade(1, registry, *signatures), "MarketNotApproved")


def test_approval_digest_by_hand(market: Market) -> None:
    """`H('em/govern/1', abi(ledger, chain, market, nonce, action, slot, module))`."""
    module = "0x" + "ab" * 20
    words = (
        GENESIS.ledger,
        market.sender.w3.eth.chain_id.to_bytes(32, "big"),
        bytes.fromhex(market.contract.address[2:]).rjust(32, b"\x00"),
        *(number.to_bytes(32, "big") for number in (0, UPGRADE, 3)),
        b"\xab" * 20,
    )
    expected = tagged("em/govern/1", b"".join(word.rjust(32, b"\x00") for word in words))
    digest = market.contract.functions.approvalDigest(UPGRADE, 3, market.sender.w3.to_checksum_address(module)).call()
    assert digest == expected


def test_approval_for_another_market_of_the_same_ledger_is_refused(market: Market) -> None:
    other = deploy(market.sender, GENESIS)
    assert refused(market.contract.functions.pause(*other.approvals(PAUSE, keys=BOTH)), "MarketNotApproved")


def test_a_module_must_be_a_contract(market: Market) -> None:
    account = market.sender.account.address
    call = market.contract.functions.upgrade(1, account, *market.approvals(UPGRADE, 1, account, keys=BOTH))
    assert refused(call, "MarketNoCode")


def test_pause_stops_commands_but_not_reading(market: Market) -> None:
    functions = market.contract.functions
    sent = batch([of(REGISTER_PARTICIPANT)])
    assert refused(functions.unpause(*market.approvals(UNPAUSE, keys=BOTH)), "MarketNotPaused")
    assert market.sender.send(functions.pause(*market.approvals(PAUSE, keys=BOTH)))["status"] == 1
    assert functions.isPaused().call()
    assert refused(market.call(sent), "MarketPaused")
    assert refused(functions.pause(*market.approvals(PAUSE, keys=BOTH)), "MarketPaused")
    assert refused(functions.unpause(*market.approvals(UNPAUSE, keys=(UTILITY, UTILITY))), "MarketNotApproved")
    assert market.read([Genesis.key()])
    core = market.sender.deploy("Core").address
    assert market.upgrade(0, core, BOTH)["status"] == 1, "what is wrong can be mended during the pause"
    assert market.sender.send(functions.unpause(*market.approvals(UNPAUSE, keys=BOTH)))["status"] == 1
    assert [one.code for one in market.submit(sent)] == [Code.APPLIED]


def test_parties_may_have_keys_on_either_curve(sender: Sender) -> None:
    utility, community = secp256k1("utility"), secp256k1("community")
    genesis = Genesis(LEDGER, MARKET, *struct(utility), *struct(community))
    market = deploy(sender, genesis)
    seen = market.submit(batch([of(REGISTER_PARTICIPANT)], operator=utility))
    assert [one.code for one in seen] == [Code.APPLIED]
    pause = market.contract.functions.pause
    assert refused(pause(*market.approvals(PAUSE, keys=(utility, utility))), "MarketNotApproved")
    assert sender.send(pause(*market.approvals(PAUSE, keys=(utility, community))))["status"] == 1


def test_no_ledger_is_founded_without_a_core_or_with_a_bad_key(sender: Sender) -> None:
    compiled = artefact("Market")
    factory = sender.w3.eth.contract(abi=compiled["abi"], bytecode=compiled["bytecode"])
    registry = sender.deploy("Registry").address
    utility, community, off_curve = struct(UTILITY), struct(COMMUNITY), (1, ident("x"), ident("y"))
    for modules in ([], [(1, registry)], [(0, NOBODY)]):
        with pytest.raises(ContractCustomError, match=error("MarketNoCode")):
            factory.constructor((LEDGER, MARKET, utility, community), modules).estimate_gas()
    for keys in ((off_curve, community), (utility, off_curve)):
        with pytest.raises(ContractCustomError, match=error("MarketBadKey")):
            factory.constructor((LEDGER, MARKET, *keys), []).estimate_gas()


def test_market_takes_no_money_and_no_unknown_call(market: Market) -> None:
    w3, address = market.sender.w3, market.contract.address
    with pytest.raises(ContractCustomError, match=error("MarketTakesNoMoney")):
        w3.eth.call({"to": address, "from": market.sender.account.address, "value": Wei(1)})
    with pytest.raises(ContractLogicError):
        w3.eth.call({"to": address, "data": b"\x12\x34\x56\x78"})
    with pytest.raises(Web3Exception):
        market.call(batch([of(REGISTER_PARTICIPANT)])).call({"value": 1, "from": market.sender.account.address})


def test_modules_have_no_rights_when_called_past_the_market(market: Market) -> None:
    w3, functions = market.sender.w3, market.contract.functions
    core = w3.eth.contract(address=functions.moduleAt(0).call(), abi=artefact("Core")["abi"])
    sent = of(REGISTER_PARTICIPANT)
    with pytest.raises(ContractLogicError):
        core.functions.submit([sent.envelope.encode()], batch([sent]).signature).call()
    registry = w3.eth.contract(address=functions.moduleAt(1).call(), abi=artefact("Registry")["abi"])
    context = (sent.id, 1, LEDGER, ZERO)
    assert market.sender.send(registry.functions.execute(sent.envelope.encode(), context))["status"] == 1
    assert not market.read([Participant.key(sent.fields.participant)])  # type: ignore[attr-defined]


def test_wallet_signs_typed_data_of_the_chain(market: Market) -> None:
    """What a wallet shows: the typed data of the command in the domain with chain and contract."""
    domain = {
        "name": "energymarket",
        "version": "1",
        "chainId": market.sender.w3.eth.chain_id,
        "verifyingContract": market.contract.address,
        "salt": LEDGER,
    }
    types = {
        "CommitPurchase": [
            *({"name": name, "type": "bytes32"} for name in ("purchase", "offer", "declaration", "buyer", "point")),
            {"name": "energy", "type": "uint64"},
            {"name": "nonce", "type": "bytes32"},
            {"name": "after", "type": "bytes32"},
            {"name": "validUntil", "type": "uint64"},
        ]
    }
    sent = of(COMMIT)
    message = {
        **{name: getattr(COMMIT, name) for name in ("purchase", "offer", "declaration", "buyer", "point", "energy")},
        "nonce": sent.nonce,
        "after": ZERO,
        "validUntil": 0,
    }
    signed = Account.sign_typed_data(BOB.secret, domain, types, message)
    assert market.signed(sent, BOB).signatures[0][1] == bytes(signed.signature[:64])


def test_wallets_sign_every_kind_that_persons_sign(market: Market) -> None:
    twins = Twins(market, {Genesis.key(): GENESIS.encode()})
    day = day_of_wallets(market)
    assert {one.code for one in twins.submit(batch(day))} == {Code.APPLIED}
    assert twins.agree()
    signed = {type(command.fields) for command in day if command.signatures}
    by_parties = {OpenImport, SealImport, CloseLedger}
    assert signed == {type(fields) for fields, signers in SUCCEEDING if signers} - {RotateDeviceKey} - by_parties


def test_batch_that_runs_out_of_gas_has_no_outcome_at_all(market: Market) -> None:
    """Whatever gas is left where: either all commands are applied, or the call is reverted."""
    sent = batch(day_of_wallets(market))
    call = market.call(sent)
    needed = call.estimate_gas({"from": market.sender.account.address})
    limits = [*range(50_000, needed, needed // 150), *range(needed - 60_000, needed, 1_000)]
    reverted = 0
    for gas in limits:
        try:
            codes, _ = call.call({"gas": gas})
        except Web3Exception:
            reverted += 1
        else:
            assert set(codes) == {Code.APPLIED}, f"with {gas} gas"
    assert reverted > 100

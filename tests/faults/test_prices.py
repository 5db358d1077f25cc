"""A chain on which gas has a price that rises while commands are under way: nothing is lost, nothing paid twice."""

import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models import F

from apps.ledger.choices import AttemptResult, CommandState, TransactionState
from apps.ledger.ledgers import DEFAULT
from apps.ledger.models import Attempt, Command, Replaced, Transaction
from apps.ledger.services.costs import as_sent
from apps.ledger.services.reconcile import audit
from apps.ledger.services.sweep import drain, sweep
from evidence.commands.kinds import RegisterParticipant
from evidence.hashing import ZERO
from evidence.keys import SoftwareKey
from ledger_adapters.contract import Code
from ledger_adapters.exceptions import Misconfigured, Transient
from ledger_adapters.keys import KeyFolder
from ledger_adapters.quorum.adapter import QuorumLedger
from ledger_adapters.quorum.prices import Signed
from tests.evm import EvmNode, running_evm_node
from tests.faults.conftest import Use
from tests.faults.support import assert_applied_once, left, queue_some, standing
from tests.ledger.support import anchor, queue

pytestmark = pytest.mark.evm

GWEI = 10**9
ETHER = 10**18
CAP = 100 * GWEI

Open = Callable[..., QuorumLedger]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EvmNode]:
    with running_evm_node(tmp_path_factory.mktemp("priced"), is_free=False) as node:
        yield node


@pytest.fixture
def ledger(use: Use, node: EvmNode, tmp_path: Path) -> Iterator[Open]:
    """A new market whose senders own a thousand ether each, and a block for each transaction."""
    places = {"CHAIN_ID": node.chain_id, "KEYS": str(tmp_path / "keys"), "DEPLOYMENT": str(tmp_path / "address")}
    founded = QuorumLedger.from_options("test", {**places, "RPC": node.rpc, "MOST_GAS_PRICE": CAP})
    node.call("evm_setAutomine", True)
    set_base_fee(node, GWEI)
    for sender in founded.senders:
        node.call("anvil_setBalance", sender.address, hex(1_000 * ETHER))
    community = KeyFolder(tmp_path / "keys").signer("community").public_key
    founded.found(secrets.token_bytes(32), secrets.token_bytes(32), community)

    def opened(**others: Any) -> QuorumLedger:
        cap = {} if "GAS_PRICE" in others else {"MOST_GAS_PRICE": CAP}
        found = use(QuorumLedger, {**places, "RPC": node.rpc, "TIMEOUT": 5, "WAIT": 0.5, **cap, **others})
        assert isinstance(found, QuorumLedger)
        return found

    yield opened
    node.call("anvil_dropAllTransactions")
    node.call("evm_setAutomine", True)


def set_base_fee(node: EvmNode, price: int) -> None:
    """Of the newest block, by which the node tells what it asks, and of the one after it."""
    for _ in range(2):
        node.call("anvil_setNextBlockBaseFeePerGas", hex(price))
        node.call("evm_mine")
    node.call("anvil_setNextBlockBaseFeePerGas", hex(price))


def sent() -> Transaction:
    return Transaction.objects.exclude(state=TransactionState.FINAL).get()


def offered(transaction: Transaction) -> Signed:
    return Signed.read(bytes(transaction.payload))


def paid(ledger: QuorumLedger) -> int:
    """What the senders have less than they were given, since the market was founded by the first of them."""
    return sum(1_000 * ETHER - ledger.w3.eth.get_balance(sender.address) for sender in ledger.senders[1:])


def test_fees_fit_the_base_fee_and_are_written_down(ledger: Open, node: EvmNode) -> None:
    adapter = ledger()
    set_base_fee(node, 20 * GWEI)
    ids = queue_some()
    drain(DEFAULT)
    assert_applied_once(ids)
    transactions = list(Transaction.objects.all())
    for each in transactions:
        signed, mined = offered(each), adapter.w3.eth.get_transaction(bytes(each.transaction_id))  # type: ignore[arg-type]
        receipt = adapter.w3.eth.get_transaction_receipt(bytes(each.transaction_id))  # type: ignore[arg-type]
        assert mined["type"] == 2 and signed.offer.tip is not None
        assert 20 * GWEI <= signed.offer.most <= CAP
        assert each.cost == receipt["gasUsed"] * receipt["effectiveGasPrice"] < signed.gas * signed.offer.most
    of_others = [each.cost for each in transactions if each.lane % 8]
    assert sum(of_others) == paid(adapter) > 0


def stuck(node: EvmNode, *fields: Any) -> Transaction:
    """What waits in the pool while the base fee has risen above its offer."""
    node.call("evm_setAutomine", False)
    queue(*fields)
    sweep(DEFAULT)
    waiting = sent()
    assert "in no block after" in standing()
    set_base_fee(node, 50 * GWEI)
    assert offered(waiting).offer.most < 50 * GWEI
    return waiting


def test_what_is_stuck_is_replaced_with_the_same_nonce(ledger: Open, node: EvmNode) -> None:
    adapter = ledger()
    before = stuck(node, anchor(1, 1))
    count = adapter.w3.eth.block_number
    sweep(DEFAULT)
    after = sent()
    assert (after.pk, bytes(after.transaction_id)) != (before.pk, bytes(before.transaction_id))
    old, new = offered(before), offered(after)
    assert (new.nonce, new.gas, new.to, new.data) == (old.nonce, old.gas, old.to, old.data)
    assert 50 * GWEI < new.offer.most <= CAP
    former = Replaced.objects.get()
    assert (former.successor, bytes(former.payload)) == (after, bytes(before.payload))
    node.call("evm_mine")
    drain(DEFAULT)
    assert_applied_once([bytes(Command.objects.get().command_id)])
    assert adapter.w3.eth.get_block(count + 1)["transactions"] == [adapter.w3.keccak(bytes(after.payload))]
    sweep(DEFAULT)
    assert Attempt.objects.filter(transaction=after).count() == 3
    assert standing() == "no reason given"


def test_no_further_replacement_while_the_price_stands_still(ledger: Open, node: EvmNode) -> None:
    ledger()
    stuck(node, anchor(1, 1))
    for _ in range(3):
        sweep(DEFAULT)
    assert Replaced.objects.count() == 1


def nobodys_role() -> RegisterParticipant:
    """What the contract refuses."""
    key = SoftwareKey.generate().public_key
    return RegisterParticipant(secrets.token_bytes(32), 99, key.algorithm, key.x, key.y, 1, ZERO)


@pytest.mark.parametrize("lost", [False, True], ids=["before it is asked", "between asking and sending"])
@pytest.mark.parametrize("code", [Code.APPLIED, Code.BAD_ROLE])
def test_the_outcome_is_found_when_the_former_bytes_got_in(
    code: Code, lost: bool, ledger: Open, node: EvmNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = ledger()
    with monkeypatch.context() as away:
        adapter.genesis()
        away.setattr(adapter, "read", raising(Transient("asked later")))
        before = stuck(node, anchor(1, 1) if code is Code.APPLIED else nobodys_role())
    sweep(DEFAULT)
    assert bytes(sent().transaction_id) != bytes(before.transaction_id)

    def old_bytes_get_in() -> None:
        node.call("anvil_dropAllTransactions")
        set_base_fee(node, GWEI)
        node.call("eth_sendRawTransaction", "0x" + bytes(before.payload).hex())
        node.call("evm_mine")

    if lost:
        monkeypatch.setattr(QuorumLedger, "outcome", slow(QuorumLedger.outcome, old_bytes_get_in))
    else:
        old_bytes_get_in()
    drain(DEFAULT)
    found, command = Transaction.objects.get(), Command.objects.get()
    assert (bytes(found.transaction_id), bytes(found.payload)) == (bytes(before.transaction_id), bytes(before.payload))
    assert found.state == TransactionState.FINAL
    assert found.cost == adapter.cost(bytes(before.transaction_id))
    assert command.code == code
    assert command.state == (CommandState.CONFIRMED if code is Code.APPLIED else CommandState.REJECTED)
    assert not Attempt.objects.filter(result=AttemptResult.CONFLICT).exists()
    # The tests' anchors are no rows here; receipts and entries agree.
    assert [each for each in audit(DEFAULT) if "nothing among" not in each.what] == []


def raising(error: Exception) -> Callable[..., Any]:
    def refused(*_: Any) -> Any:
        raise error

    return refused


def slow(outcome: Callable[..., Any], meanwhile: Callable[[], None]) -> Callable[..., Any]:
    """The first two answers - about the new bytes and about the old - are from before something happened."""
    answered = 0

    def asked(self: QuorumLedger, transaction_id: bytes) -> Any:
        nonlocal answered
        found = outcome(self, transaction_id)
        answered += 1
        if answered == 2:
            meanwhile()
        return found

    return asked


def test_better_bytes_are_stored_before_they_are_sent(
    ledger: Open, node: EvmNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger()
    before = stuck(node, anchor(1, 1))
    seen = []

    def killed(_: QuorumLedger, transaction: Any) -> None:
        seen.append(bytes(Transaction.objects.get().payload) == transaction.payload)
        raise SystemExit

    monkeypatch.setattr(QuorumLedger, "submit", killed)
    with pytest.raises(SystemExit):
        sweep(DEFAULT)
    assert seen == [True]
    assert as_sent(sent()).former == (bytes(before.transaction_id),)


def test_more_than_the_cap_is_not_offered(ledger: Open, node: EvmNode) -> None:
    """The reason is shown; when the price has fallen, what was refused goes in as it is."""
    ledger()
    set_base_fee(node, 2 * CAP)
    ids = queue_some(1)
    sweep(DEFAULT)
    assert offered(sent()).offer.most == CAP
    assert f"{CAP} is offered, MOST_GAS_PRICE is {CAP}" in standing()
    assert left(ids) == 1
    set_base_fee(node, GWEI)
    drain(DEFAULT)
    assert_applied_once(ids)
    assert not Replaced.objects.exists()


def test_a_fixed_price_that_was_too_low_is_raised_in_the_settings(ledger: Open, node: EvmNode) -> None:
    ledger(GAS_PRICE=GWEI // 2)
    set_base_fee(node, GWEI)
    ids = queue_some(1)
    sweep(DEFAULT)
    assert "GAS_PRICE" in standing()
    ledger(GAS_PRICE=5 * GWEI)
    drain(DEFAULT)
    assert_applied_once(ids)
    assert offered(Transaction.objects.get()).offer.most == 5 * GWEI


def test_budget_of_a_day_holds_up_what_goes_beyond_it(ledger: Open, node: EvmNode) -> None:
    """It counts what was paid; a day later there is room again."""
    ledger()
    [first] = queue(anchor(1, 1))
    drain(DEFAULT)
    done = Transaction.objects.get()
    paid = int(done.cost)
    assert 0 < paid < offered(done).gas * offered(done).offer.most
    ledger(COST_PER_DAY=paid)
    [late] = queue(anchor(1, 2))
    sweep(DEFAULT)
    said = f"of {paid} wei {paid} are spent in the last 24 hours or may be, and this transaction may cost"
    assert standing() == f"lane {sent().lane}: COST_PER_DAY: {said} {sent().cost}"
    ledger(COST_PER_DAY=int(sent().cost))
    sweep(DEFAULT)
    assert left([first, late]) == 1
    Attempt.objects.filter(transaction=done).update(started_at=F("started_at") - timedelta(hours=24))
    drain(DEFAULT)
    assert_applied_once([first, late])


def test_lanes_at_once_do_not_spend_more_than_the_budget(ledger: Open, node: EvmNode) -> None:
    """Four of many may go at most, with what each of them can cost."""
    node.call("evm_setAutomine", False)
    set_base_fee(node, GWEI)
    ledger()
    ids = queue_some(6)
    sweep(DEFAULT)
    open_ = list(Transaction.objects.exclude(state=TransactionState.FINAL))
    assert len(open_) > 2
    Attempt.objects.all().delete()
    node.call("anvil_dropAllTransactions")
    budget = int(sum(each.cost for each in open_[:2]))
    adapter = ledger(COST_PER_DAY=budget)
    for _ in range(3):
        sweep(DEFAULT)
        pending = adapter.w3.eth.get_block("pending")["transactions"]
        costs = [int(each.cost) for each in open_ if adapter.w3.keccak(bytes(each.payload)) in pending]
        assert sum(costs) <= budget
    assert costs
    assert left(ids) == len(ids)


def test_sender_without_ether_is_named(ledger: Open, node: EvmNode, tmp_path: Path) -> None:
    adapter = ledger()
    for sender in adapter.senders:
        node.call("anvil_setBalance", sender.address, "0x0")
    ids = queue_some(1)
    sweep(DEFAULT)
    assert any(f"{sender.address}: " in standing() for sender in adapter.senders)
    assert left(ids) == 1
    elsewhere = {"DEPLOYMENT": str(tmp_path / "elsewhere"), "KEYS": str(tmp_path / "others")}
    poor = QuorumLedger.from_options(
        "test", {"RPC": node.rpc, "CHAIN_ID": node.chain_id, "GAS_PRICE": GWEI, **elsewhere}
    )
    with pytest.raises(Misconfigured, match=f"^KEYS: {poor.senders[0].address} and the other senders need ether: "):
        poor.found(secrets.token_bytes(32), secrets.token_bytes(32), SoftwareKey.generate().public_key)

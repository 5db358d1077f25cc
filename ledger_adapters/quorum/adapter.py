"""Quorum, or any other chain with an EVM, as a ledger."""

import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from eth_abi.abi import decode
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_typing import ChecksumAddress
from eth_utils.abi import abi_to_signature, function_signature_to_4byte_selector
from hexbytes import HexBytes
from web3 import Web3
from web3.exceptions import (
    BadFunctionCallOutput,
    BlockNotFound,
    ContractLogicError,
    TransactionNotFound,
    Web3RPCError,
)
from web3.middleware import ExtraDataToPOAMiddleware
from web3.types import FilterParams, TxData, TxParams, TxReceipt

from evidence import eip712
from evidence.commands import signed_batch
from evidence.imports import signed_import
from evidence.keys import PublicKey, Signer
from evidence.trust import QuorumTrust
from ledger_adapters.base import LANE, ChainProof, Event, Health, Lane, LedgerAdapter, Limits, Page, Transaction
from ledger_adapters.contract import Genesis, Outcome
from ledger_adapters.exceptions import Conflict, Misconfigured, OutcomeUnknown, Rejected, Reorganised, Transient
from ledger_adapters.keys import KeyFolder
from ledger_adapters.quorum import proofs
from ledger_adapters.quorum.market import Market, artefact, deploy
from ledger_adapters.quorum.nodes import Nodes, answer_of
from ledger_adapters.quorum.options import Options
from ledger_adapters.quorum.prices import Offer, Prices, Signed

SENDERS = 8
POSITIONS = 1 << 32  # per block
MOST_BLOCKS = 10_000
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.2  # seconds
GAS_OF_BATCH = 1_000_000
GAS_OF_CREATION = 10_000_000
# An envelope costs two words in the call data besides its own; the call itself about a thousand bytes.
BYTES_OF_CALL = 1_024
BYTES_OF_ENVELOPE = 64
SMALLEST_ENVELOPE = 640

_KNOWN = ("already known", "known transaction", "already imported")
_TOO_LARGE = ("oversized data", "exceeds block gas limit", "intrinsic gas too low", "max initcode size")
_OTHER_PRICE = ("underpriced", "gas price not 0", "less than block base fee", "tx fee")
_TOO_POOR = ("insufficient funds",)
_NO_RIGHT = ("does not have permission",)  # account permissioning of GoQuorum, in both of its models


class QuorumLedger(LedgerAdapter):
    """The market's contract on a chain. Each lane has a sender key of its own.

    The operator's key signs the batches; without one, as at the community's, others' commands are only relayed.
    """

    is_remote = True
    in_blocks = True
    keys: ClassVar = {
        **LedgerAdapter.keys,
        **{f"sender-{number}": KeyFolder.secp256k1 for number in range(SENDERS)},
    }

    def __init__(self, alias: str, options: Options, operator: Signer | None, senders: Sequence[LocalAccount]) -> None:
        super().__init__(alias, operator)
        self.options = options
        self.senders = list(senders)
        size = options.transaction_bytes - BYTES_OF_CALL
        by_gas = (options.block_gas - GAS_OF_BATCH) // options.gas_per_command
        self.limits = Limits(by_gas, size * SMALLEST_ENVELOPE // (SMALLEST_ENVELOPE + BYTES_OF_ENVELOPE))
        self.w3 = Web3(Nodes(options.rpc, options.access))
        self.w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
        self.prices = Prices(self.w3, options.gas_price, options.most_gas_price)
        self._market: Market | None = None
        self._range = 1_000

    @classmethod
    def check_options(cls, alias: str, options: Mapping[str, Any]) -> Hashable:
        chosen = Options.read(alias, options)
        return chosen.chain_id, chosen.contract.lower() or chosen.deployment

    @classmethod
    def from_options(cls, alias: str, options: Mapping[str, Any]) -> "QuorumLedger":
        chosen = Options.read(alias, options)
        keys = KeyFolder(chosen.keys)
        senders = [Account.from_key(keys.secp256k1(f"sender-{number}").secret) for number in range(SENDERS)]
        return cls(alias, chosen, keys.signer("operator") if chosen.operator else None, senders)

    # What it stands on

    def found(self, ledger: bytes, market: bytes, community: PublicKey) -> Genesis:
        """The address of the new market is written to `DEPLOYMENT`."""
        path = self.options.deployment
        if self.options.contract or path is None or path.exists():
            return self.genesis()
        if self.operator is None:
            raise Misconfigured("OPERATOR: whoever only relays cannot found a market")
        genesis = Genesis.of(ledger, market, self.operator.public_key, community)
        self._check_chain()
        address = deploy(self.w3, genesis, self.transact)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(address + "\n", encoding="ascii")
        return self.genesis()

    def transact(self, transactions: Sequence[TxParams]) -> list[TxReceipt]:
        """Send what is no batch from the founder's account, all at once, and wait for the receipts."""
        founder, offer = self._founder(), self.prices.now()
        gas = min(GAS_OF_CREATION, self.options.block_gas)
        sent = []
        for nonce, transaction in enumerate(transactions, self.w3.eth.get_transaction_count(founder.address)):
            try:
                sent.append(self.w3.eth.send_raw_transaction(self._sign(founder, nonce, gas, offer, transaction)))
            except Web3RPCError as error:
                raise Misconfigured(self._why_not_founded(founder, answer_of(error))) from error
        return [self.w3.eth.wait_for_transaction_receipt(name, timeout=60) for name in sent]

    def _founder(self) -> LocalAccount:
        path = self.options.founder
        if path is None:
            return self.senders[0]
        try:
            found: LocalAccount = Account.from_key(path.read_text(encoding="ascii").strip())
        except (OSError, ValueError) as error:
            raise Misconfigured(f"FOUNDER: {path} holds no secret key: {type(error).__name__}") from None
        return found

    def _why_not_founded(self, founder: LocalAccount, said: str) -> str:
        if any(text in said.lower() for text in _NO_RIGHT):
            option = "FOUNDER" if self.options.founder else "KEYS"
            return f"{option}: {founder.address} needs the right to put contracts on this network: {said}"
        if any(text in said.lower() for text in _TOO_POOR):
            if self.options.founder:
                return f"FOUNDER: {founder.address} needs ether: {said}"
            return f"KEYS: {founder.address} and the other senders need ether: {said}"
        return f"the node takes no contract of {founder.address}: {said}"

    @property
    def market(self) -> Market:
        """Raises `Misconfigured` when there is no such chain, or no market at the address."""
        if self._market is None:
            address = self._address()
            self._check_chain()
            if not self.w3.eth.get_code(address):
                raise Misconfigured(f"CONTRACT: there is no contract at {address} on chain {self.options.chain_id}")
            self._market = Market(self.w3, address)
        return self._market

    def _address(self) -> ChecksumAddress:
        path = self.options.deployment
        text = self.options.contract
        if not text and path is not None:
            if not path.exists():
                raise Misconfigured(f"ledger {self.alias!r} is not on the chain yet: run `manage.py ledger init`")
            text = path.read_text(encoding="ascii").strip()
        if not Web3.is_address(text):
            raise Misconfigured(f"CONTRACT: {text!r} is no address")
        return Web3.to_checksum_address(text)

    def _check_chain(self) -> None:
        found = self.w3.eth.chain_id
        if found != self.options.chain_id:
            raise Misconfigured(f"CHAIN_ID: the node is on chain {found}, not on {self.options.chain_id}")

    def read_genesis(self) -> Genesis:
        try:
            value = self.read([Genesis.key()])[Genesis.key()]
        except (ContractLogicError, BadFunctionCallOutput) as error:
            raise Misconfigured(f"CONTRACT: what is at {self.market.address} is no market") from error
        if value is None:
            raise Misconfigured(f"CONTRACT: there is no market at {self.market.address}")
        return Genesis.decode(value)

    def wallet_domain(self) -> eip712.Domain:
        contract = bytes.fromhex(self.market.address.removeprefix("0x"))
        return eip712.Domain(self.genesis().ledger, self.options.chain_id, contract)

    # Sending

    def prepare(self, envelopes: Sequence[bytes], lane: Lane = LANE) -> Transaction:
        batch = signed_batch(self.genesis().ledger, envelopes, self.operator)
        return self._transaction(self.market.call_data(batch), len(envelopes), lane)

    def prepare_import(self, start: int, entries: Sequence[bytes], lane: Lane = LANE) -> Transaction:
        if self.operator is None:
            raise Misconfigured("OPERATOR: whoever only relays cannot take entries over")
        batch = signed_import(self.genesis().ledger, start, entries, self.operator)
        return self._transaction(self.market.import_data(batch), len(entries), lane)

    def _transaction(self, data: HexBytes, commands: int, lane: Lane) -> Transaction:
        sender = self.senders[lane.number % len(self.senders)]
        gas = GAS_OF_BATCH + commands * self.options.gas_per_command
        call: TxParams = {"to": self.market.address, "data": data}
        return self._signed(sender, self._nonce(sender, lane), gas, self.prices.now(), call)

    def replacement(self, transaction: Transaction) -> Transaction | None:
        """The same call with the same nonce at a higher price, when the node asks for more than was offered."""
        old = Signed.read(transaction.payload)
        better = self.prices.above(old.offer)
        if better is None:
            return None
        address = Account.recover_transaction(transaction.payload)
        sender = next((each for each in self.senders if each.address == address), None)
        if sender is None:
            raise Misconfigured(f"KEYS: the key of {address} is missing, who signed what is on its way")
        call: TxParams = {"to": Web3.to_checksum_address(old.to), "data": HexBytes(old.data)}
        return self._signed(sender, old.nonce, old.gas, better, call)

    def _signed(self, sender: LocalAccount, nonce: int, gas: int, offer: Offer, call: TxParams) -> Transaction:
        raw = self._sign(sender, nonce, gas, offer, call)
        return Transaction(bytes(Web3.keccak(raw)), bytes(raw), gas * offer.most)

    def afford(self, transaction: Transaction, spent: int) -> None:
        budget = self.options.cost_per_day
        if budget is not None and spent + transaction.cost > budget:
            raise Transient(
                f"COST_PER_DAY: of {budget} wei {spent} are spent in the last 24 hours or may be,"
                f" and this transaction may cost {transaction.cost}"
            )

    def cost(self, transaction_id: bytes) -> int | None:
        receipt = self._receipt(transaction_id)
        if receipt is None or receipt["blockNumber"] > self._final_block():
            return None
        # GoQuorum's receipts do not say what was paid; of a transaction in a block every node says it as its price.
        return receipt["gasUsed"] * self.w3.eth.get_transaction(HexBytes(transaction_id))["gasPrice"]

    def _nonce(self, sender: LocalAccount, lane: Lane) -> int:
        """A lane has one transaction on its way at most, and the sender to itself: the chain knows the next nonce.

        A node that lags behind the one that answered before would give one that is used up.
        """
        count = self.w3.eth.get_transaction_count(sender.address, "latest")
        if lane.last is not None:
            self._await_block_of(lane.last, count)
        return count

    def _await_block_of(self, last: bytes, count: int) -> None:
        last_hash = HexBytes(Web3.keccak(last))
        try:
            receipt = self.w3.eth.get_transaction_receipt(last_hash)
        except TransactionNotFound:
            return
        found = self.w3.eth.get_transaction(last_hash)
        if found["nonce"] >= count:
            raise Transient(
                f"the node is behind block {receipt['blockNumber']}, which holds the lane's last transaction"
            )

    def _sign(self, sender: LocalAccount, nonce: int, gas: int, offer: Offer, call: TxParams) -> HexBytes:
        own = {"nonce": nonce, "gas": gas, "value": 0, "chainId": self.options.chain_id}
        fields: dict[str, Any] = {**own, **offer.fields, **call}
        return HexBytes(sender.sign_transaction(fields).raw_transaction)

    def submit(self, transaction: Transaction) -> None:
        """Returns when the transaction is final, or after `wait` seconds when it is in a block."""
        try:
            self.w3.eth.send_raw_transaction(transaction.payload)
        except Web3RPCError as error:
            self._explain(transaction, error)
        deadline, pause = time.monotonic() + self.options.wait, FIRST_PAUSE
        while not any(map(self._is_final, (transaction.id, *transaction.former))):
            if time.monotonic() > deadline:
                self._check_in_block(transaction)
                return
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _check_in_block(self, transaction: Transaction) -> None:
        if self._in_block(transaction):
            return
        newest = self.w3.eth.get_block("latest")
        age = time.time() - newest["timestamp"]
        raise OutcomeUnknown(
            f"in no block after {self.options.wait:.0f} s: the newest, {newest['number']}, is {age:.0f} s old"
            f"{self._at_the_cap(Signed.read(transaction.payload).offer)}"
        )

    def _at_the_cap(self, offer: Offer) -> str:
        """What to say about an offer that may be too low and cannot be raised."""
        cap = self.options.most_gas_price
        return "" if cap is None or offer.bumped.most <= cap else f"; {offer.most} is offered, MOST_GAS_PRICE is {cap}"

    def _explain(self, transaction: Transaction, error: Web3RPCError) -> None:
        """Returns when the node has the transaction already, or one of those that it replaces."""
        message = answer_of(error).lower()
        if any(text in message for text in _KNOWN):
            return
        if "nonce too low" in message:
            if not self._in_block(transaction):
                raise Conflict("another transaction of the same sender took the nonce") from error
            return
        if any(text in message for text in _TOO_LARGE):
            raise Rejected(answer_of(error)) from error
        if any(text in message for text in _OTHER_PRICE):
            offer = Signed.read(transaction.payload).offer
            raise Transient(f"GAS_PRICE: {answer_of(error)}{self._at_the_cap(offer)}") from error
        if any(text in message for text in _TOO_POOR):
            raise Transient(f"{Account.recover_transaction(transaction.payload)}: {answer_of(error)}") from error
        if any(text in message for text in _NO_RIGHT):
            sender = Account.recover_transaction(transaction.payload)
            asked = "needs the right to call contracts on this network, as the other senders do"
            raise Misconfigured(f"KEYS: {sender} {asked}: {answer_of(error)}") from error
        raise Transient(answer_of(error)) from error

    def _in_block(self, transaction: Transaction) -> bool:
        return any(self._receipt(each) is not None for each in (transaction.id, *transaction.former))

    def _receipt(self, transaction_id: bytes) -> TxReceipt | None:
        try:
            return self.w3.eth.get_transaction_receipt(HexBytes(transaction_id))
        except TransactionNotFound:
            return None

    def _is_final(self, transaction_id: bytes) -> bool:
        receipt = self._receipt(transaction_id)
        return receipt is not None and receipt["blockNumber"] <= self._final_block()

    def _final_block(self) -> int:
        return self.w3.eth.block_number - self.options.confirmations

    def outcome(self, transaction_id: bytes) -> tuple[Outcome, ...] | None:
        receipt = self._receipt(transaction_id)
        if receipt is None or receipt["blockNumber"] > self._final_block():
            return None
        sent = self.w3.eth.get_transaction(HexBytes(transaction_id))
        if receipt["status"] != 1:
            raise Conflict(
                f"the chain reverted the transaction with all that it was to do, after {receipt['gasUsed']} gas:"
                f" {self._why(sent)}"
            )
        return self.market.outcomes(self.market.batch_of(sent["input"]), receipt)

    def _why(self, reverted: TxData) -> str:
        """The reason for which a transaction was reverted, as far as the block before its own tells."""
        again: TxParams = {"from": reverted["from"], "to": reverted["to"], "data": reverted["input"]}
        try:
            self.w3.eth.call({**again, "gas": reverted["gas"]}, reverted["blockNumber"] - 1)
        except ContractLogicError as error:
            return _error_name(error) or str(error)
        except Web3RPCError as error:
            return answer_of(error)
        return "unknown"

    # Reading

    def read(self, keys: Iterable[bytes]) -> dict[bytes, bytes | None]:
        try:
            return self.market.read(list(keys))
        except Web3RPCError as error:
            raise Transient(answer_of(error)) from error

    def entries_before(self, position: int) -> int:
        return position // POSITIONS

    def events(self, start: int, limit: int, mark: bytes = b"") -> Page:
        """Positions are block · 2^32 + index of the log; the mark is the hash of the block before `start`'s."""
        final = self._final_block()
        block = start // POSITIONS
        if mark and block > 0 and self._hash(block - 1) != mark:
            raise Reorganised(f"block {block - 1} is no longer the one that was final: CONFIRMATIONS is too small")
        while block <= final:
            last = min(final, block + self._range - 1)
            events = [event for event in self._logged(block, last) if event.position >= start]
            if len(events) > limit:
                return self._page(tuple(events[:limit]), events[limit - 1].position + 1)
            if events or last == final:
                return self._page(tuple(events), (last + 1) * POSITIONS)
            block = last + 1
        return Page((), start, mark)

    def _page(self, events: tuple[Event, ...], following: int) -> Page:
        block = following // POSITIONS
        return Page(events, following, self._hash(block - 1) if block else b"")

    def _hash(self, block: int) -> bytes:
        try:
            return bytes(self.w3.eth.get_block(block)["hash"])
        except BlockNotFound as error:
            # It was killed and catches up, or is behind the one that answered before.
            raise Transient(f"the node does not have block {block} yet") from error

    def _logged(self, first: int, last: int) -> list[Event]:
        """The outcomes of some blocks. The range that is asked for at once adapts to what the node likes to answer."""
        wanted: FilterParams = {
            "address": self.market.address,
            "topics": [self.market.topics],
            "fromBlock": first,
            "toBlock": last,
        }
        began = time.monotonic()
        try:
            logs = self.w3.eth.get_logs(wanted)
        except Transient:
            self._range = max(1, self._range // 4)
            raise
        except Web3RPCError as error:
            if first == last:
                raise Transient(answer_of(error)) from error
            self._range = max(1, (last - first + 1) // 2)
            middle = (first + last) // 2
            return self._logged(first, middle) + self._logged(middle + 1, last)
        if time.monotonic() - began < 1.0:
            self._range = min(MOST_BLOCKS, self._range * 2)
        found = [self.market.logged(log) for log in logs]
        return [Event(one.block * POSITIONS + one.log_index, one.transaction, one.outcome) for one in found]

    def prove(self, ids: Iterable[bytes]) -> ChainProof:
        return proofs.prove(self.market, ids, self._final_block())

    def trust(self) -> QuorumTrust:
        genesis = self.genesis()
        contract = bytes.fromhex(self.market.address.removeprefix("0x"))
        validators = proofs.validators(self.market, self._final_block())
        chain = self.options.chain_id
        return QuorumTrust(genesis.ledger, genesis.market, chain, contract, validators, old=self.old_ledgers())

    def health(self) -> Health:
        block = self.w3.eth.get_block("latest")
        return Health(max(0, block["number"] - self.options.confirmations + 1), block["timestamp"])


def _error_name(error: ContractLogicError) -> str:
    """The market's name for its own error with what it says, empty for any other."""
    for entry in artefact("IMarket")["abi"]:
        if entry["type"] == "error":
            selector = "0x" + function_signature_to_4byte_selector(abi_to_signature(entry)).hex()
            if str(error.data).startswith(selector):
                data = bytes.fromhex(str(error.data).removeprefix(selector))
                values = decode([value["type"] for value in entry["inputs"]], data)
                told = [f"{value['name']} {told}" for value, told in zip(entry["inputs"], values, strict=True)]
                return " ".join([entry["name"], *told])
    return ""

"""Proofs for those who have no node: the blocks in which commands were applied, and what readers check them against."""

import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.msp import msp_principal_pb2
from fabric_protos.peer import policy_pb2
from fabric_protos.peer.lifecycle import lifecycle_pb2

from evidence.fabric.block import BlockSignature, OrderedBlock, OutcomePlace, envelopes
from evidence.fabric.transaction import Transaction
from evidence.fabric.wire import FabricError
from ledger_adapters.base import ChannelProof, Page
from ledger_adapters.contract import Code
from ledger_adapters.exceptions import LedgerError, Misconfigured
from ledger_adapters.fabric.configurations import read_block
from ledger_adapters.fabric.gateway import BlockingGateway, SigningIdentity, ValidationCode

EVENTS_AT_ONCE = 10_000
_SIGNATURES = common_pb2.BlockMetadataIndex.SIGNATURES
_FLAGS = common_pb2.BlockMetadataIndex.TRANSACTIONS_FILTER

Events = Callable[[int, int], Page]


class Prover:
    """Proofs from one channel. Which transaction applied a command is kept in memory, as far as somebody asked.

    The ledger itself cannot be asked: a peer finds transactions by their ids, not by what is in them.
    """

    def __init__(
        self, gateway: BlockingGateway, identity: Callable[[], SigningIdentity], channel: str, events: Events
    ) -> None:
        self._gateway = gateway
        self._identity = identity
        self._channel = channel
        self._events = events
        self._reading = threading.Lock()
        self._position = 0
        self._applied: dict[bytes, tuple[int, bytes]] = {}  # position of the event, id of the transaction

    def prove(self, ids: Iterable[bytes], block_of: Callable[[int], int]) -> ChannelProof:
        """`block_of` gives the block of a position. Raises `KeyError` for commands that were not applied."""
        wanted: dict[int, dict[bytes, set[bytes]]] = defaultdict(lambda: defaultdict(set))
        for id, (position, transaction) in self._find(set(ids)).items():
            wanted[block_of(position)][transaction].add(id)
        return ChannelProof(tuple(ordered_block(self._block(number), wanted[number]) for number in sorted(wanted)))

    def _find(self, ids: set[bytes]) -> dict[bytes, tuple[int, bytes]]:
        with self._reading:
            while missing := ids - self._applied.keys():
                page = self._events(self._position, EVENTS_AT_ONCE)
                if page.next == self._position:
                    raise KeyError(f"not applied on the channel: {sorted(id.hex() for id in missing)}")
                self._position = page.next
                for event in page.events:
                    if event.outcome.code is Code.APPLIED:
                        self._applied[event.outcome.id] = event.position, event.transaction
            return {id: self._applied[id] for id in ids}

    def _block(self, number: int) -> Any:
        return read_block(self._gateway, self._identity(), self._channel, number)


def ordered_block(block: Any, wanted: Mapping[bytes, Collection[bytes]]) -> OrderedBlock:
    """Proof of a block (`common.Block`) and of commands that its transactions applied, by the transactions' ids.

    Raises `LedgerError` where the block does not say what readers would have to see.
    """
    data = b"".join(block.data.data)
    signed = common_pb2.Metadata.FromString(block.metadata.metadata[_SIGNATURES])
    if any(not each.signature_header for each in signed.signatures):
        raise LedgerError("the orderers sign without their certificates, as BFT does: that proves nothing here yet")
    try:
        fits = envelopes(data) == list(block.data.data) and hashlib.sha256(data).digest() == block.header.data_hash
        places = _places(block, wanted)
    except FabricError as error:
        raise LedgerError(f"block {block.header.number} cannot be proven: {error}") from error
    if not fits:
        raise LedgerError(f"the transactions of block {block.header.number} do not fit its header")
    return OrderedBlock(
        block.header.number,
        block.header.previous_hash,
        data,
        signed.value,
        tuple(BlockSignature(each.signature_header, each.signature) for each in signed.signatures),
        places,
    )


def _places(block: Any, wanted: Mapping[bytes, Collection[bytes]]) -> tuple[OutcomePlace, ...]:
    found = []
    for number, (flag, data) in enumerate(zip(block.metadata.metadata[_FLAGS], block.data.data, strict=True)):
        # An invalid transaction may carry the id of a valid one.
        if flag == ValidationCode.VALID and (ids := wanted.get(_transaction_id(data))):
            outcomes = Transaction.decode(data).outcomes
            for index, (id, code) in enumerate(zip(outcomes.ids, outcomes.codes, strict=True)):
                if id in ids and code == Code.APPLIED:
                    found.append(OutcomePlace(number, index))
    return tuple(found)


def _transaction_id(envelope: bytes) -> bytes:
    payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(envelope).payload)
    return bytes.fromhex(common_pb2.ChannelHeader.FromString(payload.header.channel_header).tx_id)


# What readers trust


def chaincode_definition(chaincode: str) -> tuple[str, tuple[str | bytes, ...]]:
    """The query for `endorsers_of`: a system chaincode and its arguments."""
    arguments = lifecycle_pb2.QueryChaincodeDefinitionArgs(name=chaincode).SerializeToString()
    return "_lifecycle", ("QueryChaincodeDefinition", arguments)


def endorsers_of(definition: bytes) -> frozenset[str]:
    """The MSPs of which a peer must have endorsed. Raises `Misconfigured` unless the policy asks for all it names."""
    parameter = lifecycle_pb2.QueryChaincodeDefinitionResult.FromString(definition).validation_parameter
    policy = policy_pb2.ApplicationPolicy.FromString(parameter)
    wanted = policy.signature_policy
    rule = wanted.rule.n_out_of
    signers = [each.signed_by for each in rule.rules if each.WhichOneof("Type") == "signed_by"]
    if not signers or not len(signers) == len(rule.rules) == rule.n:
        raise Misconfigured("CHAINCODE: its endorsement policy is not one of AND over peers: no proof could show it")
    return frozenset(_peers_of(wanted.identities[signer]) for signer in signers)


def _peers_of(principal: Any) -> str:
    role = msp_principal_pb2.MSPRole.FromString(principal.principal)
    is_role = principal.principal_classification == msp_principal_pb2.MSPPrincipal.ROLE
    if not is_role or role.role != msp_principal_pb2.MSPRole.PEER:
        raise Misconfigured("CHAINCODE: its endorsement policy names others than peers of an organisation")
    msp: str = role.msp_identifier
    return msp

"""What the reader of a proof trusts: a file of its own, which must come from elsewhere than the proof."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, ClassVar, Self

from evidence import canonical
from evidence.canonical import decode_bytes, decode_int, encode_bytes, encode_int
from evidence.eip712 import Domain, OldDomain
from evidence.fabric.identities import Organisation

TRUST = "energymarket/trust/1"


class TrustError(ValueError):
    """The trust anchors cannot be read."""


@dataclass(frozen=True, slots=True)
class OldLedger:
    """A ledger that entries were taken over from: its id, and the separator of the domain in which wallets signed."""

    ledger: bytes
    separator: bytes


@dataclass(frozen=True, slots=True)
class Trust(ABC):
    """Which ledger and which market, and which ledgers this one took over. The kinds add what proofs from such a ledger
    are checked against.
    """

    kind: ClassVar[str]
    ledger: bytes
    market: bytes
    old: tuple[OldLedger, ...] = field(default=(), kw_only=True)

    @staticmethod
    def from_bytes(text: bytes) -> "AnyTrust":
        """Read the file. Raises `TrustError`."""
        try:
            members = canonical.loads(text.strip())
            if members["type"] != TRUST:
                raise ValueError("another type of file")
            old = _old_ledgers(members.pop("old", []))
            return replace(_KINDS[members["kind"]].read(members), old=old)
        except (ValueError, KeyError, TypeError) as error:
            raise TrustError(f"the trust anchors cannot be read: {error}") from None

    def encode(self) -> bytes:
        """The file, as canonical JSON."""
        own: dict[str, Any] = {"ledger": encode_bytes(self.ledger), "market": encode_bytes(self.market)}
        if self.old:
            own["old"] = [
                {"ledger": encode_bytes(each.ledger), "separator": encode_bytes(each.separator)} for each in self.old
            ]
        return canonical.dumps({"type": TRUST, "kind": self.kind, **own, **self._members()})

    @abstractmethod
    def _members(self) -> dict[str, Any]:
        """The members of the kind."""

    @property
    def wallet_domain(self) -> Domain:
        return Domain(self.ledger)

    def domain_of(self, origin: bytes) -> Domain:
        """What was signed in for a command: that of the ledger `origin` where it was taken over, else of this one.

        Raises `KeyError` for a ledger that was not taken over.
        """
        if not origin:
            return self.wallet_domain
        return {each.ledger: OldDomain(each.ledger, kept=each.separator) for each in self.old}[origin]


@dataclass(frozen=True, slots=True)
class EmbeddedTrust(Trust):
    """`checkpoint_key`: the Ed25519 key that signs the ledger's checkpoints."""

    kind = "embedded"
    checkpoint_key: bytes

    @classmethod
    def read(cls, members: Mapping[str, Any]) -> Self:
        _check_members(members, "ledger", "market", "checkpoint_key")
        return cls(*(_sized(members[name], 32) for name in ("ledger", "market", "checkpoint_key")))

    def _members(self) -> dict[str, Any]:
        return {"checkpoint_key": encode_bytes(self.checkpoint_key)}


@dataclass(frozen=True, slots=True)
class ValidatorSet:
    """The addresses of those who may seal block `first` and all after it, until the next set's."""

    first: int
    addresses: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class QuorumTrust(Trust):
    """The chain's id, the market's contract on it, and who may seal its blocks: sets in the chain's order.

    Sets do not overlap, since each ends where the next begins. One that holds from the first block on is written as the
    member `validators`, several, or one that begins later, as `validator_sets`: so each trust has one form.
    """

    kind = "quorum"
    chain: int
    contract: bytes
    validators: tuple[ValidatorSet, ...]

    def __post_init__(self) -> None:
        """Raises `ValueError`."""
        firsts = [each.first for each in self.validators]
        if not firsts or firsts[0] < 0 or sorted(set(firsts)) != firsts:
            raise ValueError("sets of validators must be there, in ascending order of their first blocks")
        if not all(each.addresses for each in self.validators):
            raise ValueError("a set of validators must not be empty")
        if any(one.addresses == other.addresses for one, other in pairwise(self.validators)):
            raise ValueError("a set of validators must differ from the one before it")

    def validators_of(self, block: int) -> frozenset[bytes]:
        """Who may seal a block: nobody, where the first set begins later."""
        holding = [each.addresses for each in self.validators if each.first <= block]
        return holding[-1] if holding else frozenset()

    @classmethod
    def read(cls, members: Mapping[str, Any]) -> Self:
        several = "validator_sets" in members
        written = "validator_sets" if several else "validators"
        _check_members(members, "ledger", "market", "chain", "contract", written)
        found = tuple(map(_set, members[written])) if several else (ValidatorSet(0, _addresses(members[written])),)
        ledger, market = _sized(members["ledger"], 32), _sized(members["market"], 32)
        trust = cls(ledger, market, decode_int(members["chain"]), _sized(members["contract"], 20), found)
        if several and trust._is_plain:
            raise ValueError("validators that hold from the first block on stand in the member validators")
        return trust

    @property
    def _is_plain(self) -> bool:
        return len(self.validators) == 1 and self.validators[0].first == 0

    def _members(self) -> dict[str, Any]:
        own: dict[str, Any] = {"chain": encode_int(self.chain), "contract": encode_bytes(self.contract)}
        sets = [(encode_int(each.first), list(map(encode_bytes, sorted(each.addresses)))) for each in self.validators]
        if self._is_plain:
            return {**own, "validators": sets[0][1]}
        return {**own, "validator_sets": [{"from": first, "validators": addresses} for first, addresses in sets]}

    @property
    def wallet_domain(self) -> Domain:
        return Domain(self.ledger, self.chain, self.contract)


@dataclass(frozen=True, slots=True)
class FabricTrust(Trust):
    """The channel and its chaincode, and by their MSPs who must have endorsed and who may sign the blocks."""

    kind = "fabric"
    channel: str
    chaincode: str
    endorsers: tuple[Organisation, ...]
    orderers: tuple[Organisation, ...]

    @classmethod
    def read(cls, members: Mapping[str, Any]) -> Self:
        _check_members(members, "ledger", "market", "channel", "chaincode", "endorsers", "orderers")
        channel, chaincode = members["channel"], members["chaincode"]
        if not (isinstance(channel, str) and isinstance(chaincode, str) and channel and chaincode):
            raise ValueError("channel and chaincode must have names")
        ledger, market = _sized(members["ledger"], 32), _sized(members["market"], 32)
        endorsers, orderers = _organisations(members["endorsers"]), _organisations(members["orderers"])
        return cls(ledger, market, channel, chaincode, endorsers, orderers)

    def _members(self) -> dict[str, Any]:
        return {
            "channel": self.channel,
            "chaincode": self.chaincode,
            "endorsers": [_written(each) for each in self.endorsers],
            "orderers": [_written(each) for each in self.orderers],
        }


AnyTrust = EmbeddedTrust | QuorumTrust | FabricTrust
_KINDS: dict[str, type[AnyTrust]] = {kind.kind: kind for kind in (EmbeddedTrust, QuorumTrust, FabricTrust)}


def _check_members(members: Mapping[str, Any], *names: str) -> None:
    if set(members) != {"type", "kind", *names}:
        raise ValueError(f"exactly the members type, kind, {', '.join(names)} are expected")


def _old_ledgers(written: Any) -> tuple[OldLedger, ...]:
    """Each once."""
    found = []
    for members in written:
        if set(members) != {"ledger", "separator"}:
            raise ValueError("an old ledger has exactly the members ledger and separator")
        found.append(OldLedger(_sized(members["ledger"], 32), _sized(members["separator"], 32)))
    if len({each.ledger for each in found}) != len(found):
        raise ValueError("an old ledger is there twice")
    return tuple(found)


def _set(members: Any) -> ValidatorSet:
    if set(members) != {"from", "validators"}:
        raise ValueError("a set of validators has exactly the members from and validators")
    found = ValidatorSet(decode_int(members["from"]), _addresses(members["validators"]))
    if [decode_bytes(each) for each in members["validators"]] != sorted(found.addresses):
        raise ValueError("the validators of a set stand in ascending order")
    return found


def _addresses(written: Any) -> frozenset[bytes]:
    addresses = [_sized(address, 20) for address in written]
    if len(set(addresses)) != len(addresses):
        raise ValueError("each validator must be there once")
    return frozenset(addresses)


def _organisations(written: Any) -> tuple[Organisation, ...]:
    """In ascending order of their ids, each once, and at least one."""
    found = []
    for members in written:
        if set(members) != {"msp", "authorities"} or not isinstance(members["msp"], str):
            raise ValueError("an organisation has exactly the members msp and authorities")
        found.append(Organisation(members["msp"], tuple(decode_bytes(each) for each in members["authorities"])))
    names = [each.msp for each in found]
    if not names or sorted(set(names)) != names:
        raise ValueError("organisations must be there, in ascending order and each once")
    return tuple(found)


def _written(organisation: Organisation) -> dict[str, Any]:
    return {"msp": organisation.msp, "authorities": [encode_bytes(each) for each in organisation.authorities]}


def _sized(text: object, size: int) -> bytes:
    content = decode_bytes(text)
    if len(content) != size:
        raise ValueError(f"{size} bytes are expected")
    return content

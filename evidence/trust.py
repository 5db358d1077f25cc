"""What the reader of a proof trusts: a file of its own, which must come from elsewhere than the proof."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from evidence import canonical
from evidence.canonical import decode_bytes, decode_int, encode_bytes, encode_int
from evidence.eip712 import Domain

TRUST = "energymarket/trust/1"


class TrustError(ValueError):
    """The trust anchors cannot be read."""


@dataclass(frozen=True, slots=True)
class Trust(ABC):
    """Which ledger and which market. The kinds add what proofs from such a ledger are checked against."""

    kind: ClassVar[str]
    ledger: bytes
    market: bytes

    @staticmethod
    def from_bytes(text: bytes) -> "EmbeddedTrust | QuorumTrust":
        """Read the file. Raises `TrustError`."""
        try:
            members = canonical.loads(text.strip())
            if members["type"] != TRUST:
                raise ValueError("another type of file")
            return _KINDS[members["kind"]].read(members)
        except (ValueError, KeyError, TypeError) as error:
            raise TrustError(f"the trust anchors cannot be read: {error}") from None

    def encode(self) -> bytes:
        """The file, as canonical JSON."""
        own = {"ledger": encode_bytes(self.ledger), "market": encode_bytes(self.market)}
        return canonical.dumps({"type": TRUST, "kind": self.kind, **own, **self._members()})

    @abstractmethod
    def _members(self) -> dict[str, Any]:
        """The members of the kind."""

    @property
    def wallet_domain(self) -> Domain:
        return Domain(self.ledger)


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
class QuorumTrust(Trust):
    """The chain's id, the market's contract on it, and the addresses of those who may seal its blocks."""

    kind = "quorum"
    chain: int
    contract: bytes
    validators: frozenset[bytes]

    @classmethod
    def read(cls, members: Mapping[str, Any]) -> Self:
        _check_members(members, "ledger", "market", "chain", "contract", "validators")
        validators = [_sized(address, 20) for address in members["validators"]]
        if not validators or len(set(validators)) != len(validators):
            raise ValueError("validators must be there, and each once")
        ledger, market = _sized(members["ledger"], 32), _sized(members["market"], 32)
        contract = _sized(members["contract"], 20)
        return cls(ledger, market, decode_int(members["chain"]), contract, frozenset(validators))

    def _members(self) -> dict[str, Any]:
        validators = [encode_bytes(address) for address in sorted(self.validators)]
        return {"chain": encode_int(self.chain), "contract": encode_bytes(self.contract), "validators": validators}

    @property
    def wallet_domain(self) -> Domain:
        return Domain(self.ledger, self.chain, self.contract)


_KINDS: dict[str, type[EmbeddedTrust | QuorumTrust]] = {kind.kind: kind for kind in (EmbeddedTrust, QuorumTrust)}


def _check_members(members: Mapping[str, Any], *names: str) -> None:
    if set(members) != {"type", "kind", *names}:
        raise ValueError(f"exactly the members type, kind, {', '.join(names)} are expected")


def _sized(text: object, size: int) -> bytes:
    content = decode_bytes(text)
    if len(content) != size:
        raise ValueError(f"{size} bytes are expected")
    return content

"""Block headers with the seals of IBFT and QBFT validators, as GoQuorum makes them.

A validator seals a header without the committed seals: with QBFT its Keccak hash, the round included; with IBFT the
Keccak hash of that hash and the code of the message that carried it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import coincurve

from evidence.eip712 import keccak256
from evidence.ethereum import rlps
from evidence.ethereum.rlps import EthereumError
from evidence.keys import Algorithm, is_canonical

MEMBERS = 15
RECEIPTS_ROOT, NUMBER, EXTRA, MIX_DIGEST = 5, 8, 12, 13
ISTANBUL = b"ctical byzantine fault tolerance"  # the mix digest of both kinds
VANITY = 32
QBFT_PARTS, IBFT_PARTS = 5, 3
ADDRESS = 20
IBFT_COMMIT = b"\x02"


def quorum(validators: int) -> int:
    """How many of them have to seal a block."""
    return -(-2 * validators // 3)


@dataclass(frozen=True, slots=True)
class SealedHeader:
    """`digest` is what each of `seals` (65 bytes, r ‖ s ‖ recovery id) was made over.

    `validators`: those who may seal this block, as whoever proposed it says.
    """

    number: int
    receipts_root: bytes
    digest: bytes
    seals: tuple[bytes, ...]
    validators: frozenset[bytes]

    @classmethod
    def decode(cls, content: bytes) -> "SealedHeader":
        """Read a header with its seals from RLP. Raises `EthereumError`."""
        members = _members(content)
        if members[MIX_DIGEST] != ISTANBUL:
            raise EthereumError("the header is sealed by neither IBFT nor QBFT")
        vanity, parts = _extra(members[EXTRA])
        sealed = _hash(members, vanity + rlps.encode([*parts[:-1], []]))
        digest = keccak256(sealed + IBFT_COMMIT) if vanity else sealed
        seals = rlps.byte_strings(parts[-1], "seals")
        named = rlps.byte_strings(parts[0 if vanity else 1], "validators")
        number = rlps.number(members[NUMBER], "number")
        return cls(number, members[RECEIPTS_ROOT], digest, tuple(seals), frozenset(named))

    def check_seals(self, validators: Collection[bytes]) -> None:
        """Raises `EthereumError` unless enough of these addresses, and nobody else, sealed the block once each."""
        if not validators:
            raise EthereumError(f"nobody is trusted to seal block {self.number}")
        signers = [_signer(self.digest, seal) for seal in self.seals]
        if strangers := set(signers) - set(validators):
            named = ", ".join(sorted(f"0x{address.hex()}" for address in strangers))
            raise EthereumError(f"sealed by {named}, not among the validators that are trusted for block {self.number}")
        if len(set(signers)) != len(signers):
            raise EthereumError("sealed twice by the same validator")
        if len(signers) < (needed := quorum(len(validators))):
            raise EthereumError(f"sealed by {len(signers)} of {len(validators)} validators, {needed} are needed")


def block_hash(content: bytes) -> bytes:
    """The name of a block on its chain: neither seals nor, with QBFT, the round count."""
    members = _members(content)
    if members[MIX_DIGEST] != ISTANBUL:
        return keccak256(content)
    vanity, parts = _extra(members[EXTRA])
    kept = [*parts[:-1], []] if vanity else [*parts[:-2], b"", []]
    return _hash(members, vanity + rlps.encode(kept))


def _members(content: bytes) -> list[bytes]:
    members = rlps.byte_strings(rlps.decode(content, "header"), "header")
    if len(members) != MEMBERS:
        raise EthereumError(f"a header has {MEMBERS} members, this one {len(members)}")
    return members


def _extra(content: bytes) -> tuple[bytes, list[Any]]:
    """Vanity and parts of the extra data, the seals last. QBFT has five parts, the vanity among them."""
    try:
        parts = rlps.decode(content, "extra data")
    except EthereumError:
        parts = None
    if isinstance(parts, list) and len(parts) == QBFT_PARTS:
        return b"", parts
    parts = rlps.decode(content[VANITY:], "extra data")
    if isinstance(parts, list) and len(parts) == IBFT_PARTS:
        return content[:VANITY], parts
    raise EthereumError("the extra data are those of neither IBFT nor QBFT")


def _hash(members: list[bytes], extra: bytes) -> bytes:
    return keccak256(rlps.encode([*members[:EXTRA], extra, *members[EXTRA + 1 :]]))


def _signer(digest: bytes, seal: bytes) -> bytes:
    """The address whose key made a seal."""
    if not is_canonical(Algorithm.SECP256K1, seal[:-1]):
        raise EthereumError("a seal is no signature in its one form")
    try:
        key = coincurve.PublicKey.from_signature_and_message(seal, digest, hasher=None)
    except ValueError as error:
        raise EthereumError(f"a seal is no signature: {error}") from None
    return keccak256(key.format(compressed=False)[1:])[-ADDRESS:]

"""What a wallet signs: a command as EIP-712 typed data. Its fields are static words or lists of them."""

from dataclasses import dataclass
from typing import Any

from Crypto.Hash import keccak

from evidence.abi import ListOf, Struct, Type, encode_values, layout

NAME = "energymarket"
VERSION = "1"


def keccak256(content: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=content).digest()


@dataclass(frozen=True, slots=True)
class Domain:
    """The signing domain: the ledger as salt, and on an EVM the chain and the contract whose address never changes."""

    ledger: bytes
    chain: int | None = None
    contract: bytes | None = None

    def separator(self) -> bytes:
        members = "string name,string version"
        content = keccak256(NAME.encode()) + keccak256(VERSION.encode())
        if self.chain is not None:
            members += ",uint256 chainId"
            content += self.chain.to_bytes(32, "big")
        if self.contract is not None:
            members += ",address verifyingContract"
            content += self.contract.rjust(32, b"\x00")
        members += ",bytes32 salt"
        return keccak256(keccak256(f"EIP712Domain({members})".encode()) + content + self.ledger)


@dataclass(frozen=True, slots=True)
class OldDomain(Domain):
    """The domain of a ledger that was left, of which only the separator was kept."""

    kept: bytes = b""

    def separator(self) -> bytes:
        return self.kept


def camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def encode_type(fields: type[Struct]) -> str:
    shape = layout(fields)
    members = [f"{kind.name} {camel(name)}" for name, kind in zip(shape.names, shape.types, strict=True)]
    members += ["bytes32 nonce", "bytes32 after", "uint64 validUntil"]
    return f"{fields.__name__}({','.join(members)})"


def _word(kind: Type, value: Any) -> bytes:
    if isinstance(kind, ListOf):
        return keccak256(encode_values((kind.item,) * len(value), value))
    return kind.encode(value)


def digest(domain: Domain, fields: Struct, nonce: bytes, after: bytes, valid_until: int) -> bytes:
    """The keccak digest that the wallet signs for a command."""
    shape = layout(type(fields))
    content = keccak256(encode_type(type(fields)).encode())
    content += b"".join(_word(kind, value) for kind, value in zip(shape.types, shape.values(fields), strict=True))
    content += nonce + after + valid_until.to_bytes(32, "big")
    return keccak256(b"\x19\x01" + domain.separator() + keccak256(content))

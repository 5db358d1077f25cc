"""A command as the typed data (EIP-712) that a wallet shows and signs."""

from typing import Any

from evidence import eip712
from evidence.abi import ListOf, Type, layout
from evidence.commands import Command


def typed_data(domain: eip712.Domain, command: Command) -> dict[str, Any]:
    """The argument of `eth_signTypedData_v4`: bytes in hexadecimal form, integers as decimal strings."""
    name = type(command.fields).__name__
    shape = layout(type(command.fields))
    message = {
        eip712.camel(member): _shown(kind, value)
        for member, kind, value in zip(shape.names, shape.types, shape.values(command.fields), strict=True)
    }
    message |= {
        "nonce": _hex(command.nonce),
        "after": _hex(command.after),
        "validUntil": str(command.valid_until),
    }
    types = {eip712.camel(member): kind.name for member, kind in zip(shape.names, shape.types, strict=True)} | {
        "nonce": "bytes32",
        "after": "bytes32",
        "validUntil": "uint64",
    }
    domain_types, domain_values = _domain(domain)
    return {
        "types": {"EIP712Domain": _members(domain_types), name: _members(types)},
        "primaryType": name,
        "domain": domain_values,
        "message": message,
    }


def _domain(domain: eip712.Domain) -> tuple[dict[str, str], dict[str, Any]]:
    """Members in the order of the standard, with those that the ledger has."""
    types = {"name": "string", "version": "string"}
    values: dict[str, Any] = {"name": eip712.NAME, "version": eip712.VERSION}
    if domain.chain is not None:
        types["chainId"], values["chainId"] = "uint256", str(domain.chain)
    if domain.contract is not None:
        types["verifyingContract"], values["verifyingContract"] = "address", _hex(domain.contract)
    types["salt"], values["salt"] = "bytes32", _hex(domain.ledger)
    return types, values


def _members(types: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "type": kind} for name, kind in types.items()]


def _shown(kind: Type, value: Any) -> Any:
    if isinstance(kind, ListOf):
        return [_shown(kind.item, item) for item in value]
    return _hex(value) if isinstance(value, bytes) else str(value)


def _hex(content: bytes) -> str:
    return "0x" + content.hex()

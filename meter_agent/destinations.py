"""Where a box sends: to markets, to whoever runs the plant, and to ledgers.

    [[destinations]]
    name = "market"
    kind = "market"                   # signed batches of readings
    server = "https://market.example"

    [[destinations]]
    name = "plant"
    kind = "measures"                 # documents of measures, as EnergySequence takes them
    url = "https://plant.example/api/measures"
    device_name = "Roof, north"       # as the documents call the box
    token_file = "plant.token"        # sent as a bearer token; without it the box signs each document

    [[destinations]]
    name = "ledger"
    kind = "ledger"                   # totals of days, signed as commands of the market's contract
    ledger = "<64 hex>"
    market = "<64 hex>"
    via = "relay"                     # a market's server hands them on
    server = "https://market.example"

    via = "quorum"                    # straight to a node; the account has no rights, it only pays
    url = "https://node.example:8545"
    contract = "0x<40 hex>"
    chain_id = 1337
    account_file = "account.key"      # secp256k1, 64 hex
    gas_price = 0                     # wei

    via = "fabric"                    # straight to a peer's gateway, with an identity of its own
    address = "peer.example:7051"
    channel = "market"
    chaincode = "market"
    msp_id = "UtilityMSP"
    certificate = "fabric/cert.pem"
    private_key = "fabric/key.pem"
    tls_ca = "fabric/tls-ca.pem"
    server_name = "peer.example"      # where the certificate says something else than the address

A name stays when an address changes: what waits is sent to the new one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from meter_agent.tables import ConfigError, Table, base_url, bytes32, integer, path_from, text

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


@dataclass(frozen=True, slots=True)
class Market:
    name: str
    server: str


@dataclass(frozen=True, slots=True)
class Measures:
    name: str
    url: str
    device_name: str
    token_file: Path | None


@dataclass(frozen=True, slots=True)
class Ledger:
    """`id` and `market` are those of the ledger's first record: what a command is signed for."""

    name: str
    id: bytes
    market: bytes
    way: "Relay | Quorum | Fabric"


@dataclass(frozen=True, slots=True)
class Relay:
    server: str


@dataclass(frozen=True, slots=True)
class Quorum:
    url: str
    contract: bytes
    chain_id: int
    account_file: Path
    gas_price: int
    gas: int
    confirmations: int


@dataclass(frozen=True, slots=True)
class Fabric:
    address: str
    channel: str
    chaincode: str
    msp_id: str
    certificate: Path
    private_key: Path
    tls_ca: Path
    server_name: str


Destination = Market | Measures | Ledger


def read_destinations(table: Table, folder: Path) -> tuple[Destination, ...]:
    """Those listed, or the one market at `server`. Raises `ConfigError`."""
    if "server" in table:
        if "destinations" in table:
            raise ConfigError(f"{table.key('server')}: either it or destinations may be given")
        return (Market("market", table.take("server", base_url)),)
    found = tuple(_destination(each, folder) for each in table.tables("destinations"))
    names: set[str] = set()
    for index, destination in enumerate(found):
        if destination.name in names:
            raise ConfigError(f"destinations[{index}].name: {destination.name} is used twice")
        names.add(destination.name)
    return found


def _destination(table: Table, folder: Path) -> Destination:
    name = table.take("name", _name)
    kind = table.take("kind", _one_of("market", "measures", "ledger"))
    destination: Destination
    if kind == "market":
        destination = Market(name, table.take("server", base_url))
    elif kind == "measures":
        token = table.take("token_file", path_from(folder)) if "token_file" in table else None
        destination = Measures(name, table.take("url", base_url), table.take("device_name", text), token)
    else:
        destination = Ledger(name, table.take("ledger", bytes32), table.take("market", bytes32), _way(table, folder))
    table.finish()
    return destination


def _way(table: Table, folder: Path) -> Relay | Quorum | Fabric:
    via = table.take("via", _one_of("relay", "quorum", "fabric"))
    if via == "relay":
        return Relay(table.take("server", base_url))
    if via == "quorum":
        return Quorum(
            url=table.take("url", base_url),
            contract=table.take("contract", _address),
            chain_id=table.take("chain_id", integer(1, 2**53)),
            account_file=table.take("account_file", path_from(folder)),
            gas_price=table.take("gas_price", integer(0, 2**63 - 1), 0),
            gas=table.take("gas", integer(100_000, 100_000_000), 2_000_000),
            confirmations=table.take("confirmations", integer(0, 1000), 0),
        )
    return Fabric(
        address=table.take("address", text),
        channel=table.take("channel", text),
        chaincode=table.take("chaincode", text),
        msp_id=table.take("msp_id", text),
        certificate=table.take("certificate", path_from(folder)),
        private_key=table.take("private_key", path_from(folder)),
        tls_ca=table.take("tls_ca", path_from(folder)),
        server_name=table.take("server_name", str, ""),
    )


def _name(value: object) -> str:
    if not _NAME.fullmatch(text(value)):
        raise ValueError("must be lower-case letters, digits and hyphens")
    return text(value)


def _one_of(*names: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return str(value)

    return read


def _address(value: object) -> bytes:
    if not _ADDRESS.fullmatch(text(value)):
        raise ValueError("must be 0x and 40 hexadecimal digits")
    return bytes.fromhex(text(value)[2:])

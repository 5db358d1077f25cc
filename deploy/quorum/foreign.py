"""A network that others run and that a node of ours joins: what they hand over of it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from deploy.quorum.genesis import Settings
from deploy.quorum.node import NetworkError

_ENODE = re.compile(r"enode://[0-9a-f]{128}@([0-9a-fA-F.:\[\]]+):\d+(\?\S*)?")


@dataclass(frozen=True)
class Foreign:
    """`enodes`: nodes of theirs that ours connects to. `contract`: the market's address, where one is there already."""

    enodes: tuple[str, ...]
    contract: str = ""

    @property
    def hosts(self) -> list[str]:
        """The addresses that a node of ours may talk to."""
        return sorted({found[1].strip("[]") for enode in self.enodes if (found := _ENODE.fullmatch(enode))})


def read_enodes(given: Sequence[str], lists: Sequence[Path]) -> tuple[str, ...]:
    """Enodes as they were given and from files like static-nodes.json, each once. Raises NetworkError."""
    found = list(given)
    for path in lists:
        content = _read(path)
        if not isinstance(content, list):
            raise NetworkError(f"{path} is no list of enodes.")
        found += content
    for enode in found:
        if not isinstance(enode, str) or not _ENODE.fullmatch(enode):
            raise NetworkError(f"{enode!r} is no enode with the address of a host in figures.")
    if not found:
        raise NetworkError("An attached node needs the enode of a node that it can connect to.")
    return tuple(dict.fromkeys(found))


def settings_of(genesis: Path, gas_price: int) -> Settings:
    """What their genesis file says of the network; no node of ours is a validator of it. Raises NetworkError."""
    content = _read(genesis)
    try:
        config = content["config"]
        chain_id = int(config["chainId"])
        is_quorum = bool(config["isQuorum"])
    except (KeyError, TypeError, ValueError):
        raise NetworkError(f"{genesis} is no genesis file of a GoQuorum network.") from None
    if not is_quorum:
        raise NetworkError(f"{genesis} is that of another network than GoQuorum's.")
    consensus: Literal["qbft", "ibft"] = "qbft" if "qbft" in config else "ibft"
    return Settings(chain_id=chain_id, consensus=consensus, validators=0, gas_price=gas_price, senders=0)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NetworkError(f"{path} cannot be read: {error}") from None

"""What a Quorum ledger is told in `LEDGERS`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ledger_adapters.exceptions import Misconfigured
from ledger_adapters.quorum.nodes import Access

ACCESS = Access()


@dataclass(frozen=True, slots=True)
class Options:
    """`OPTIONS` of a Quorum ledger in `LEDGERS`.

    `contract` is the market's address, or `deployment` the file in which the address stands once it is on the chain.
    `founder`: a file with the secret key, 64 hexadecimal digits, of the account that founds it instead of a sender.
    `gas_price` is in wei; with `most_gas_price` it is the least, and what the node asks is offered, up to that.
    `cost_per_day`: wei that all transactions of any 24 hours may cost together. `gas_per_command` is what a command may
    use at most; `wait` how many seconds a transaction is waited for; `confirmations` how many blocks make one final:
    none with QBFT and IBFT.
    """

    rpc: tuple[str, ...]
    chain_id: int
    keys: Path
    contract: str = ""
    deployment: Path | None = None
    founder: Path | None = None
    confirmations: int = 0
    gas_price: int = 0
    most_gas_price: int | None = None
    cost_per_day: int | None = None
    gas_per_command: int = 1_500_000
    block_gas: int = 400_000_000
    transaction_bytes: int = 64 * 1024
    wait: float = 15.0
    operator: bool = True
    access: Access = ACCESS

    @classmethod
    def read(cls, alias: str, options: Mapping[str, Any]) -> Self:
        """Raises `Misconfigured`, naming the setting."""
        where = f"LEDGERS[{alias!r}]['OPTIONS']"
        kinds: dict[str, Any] = {
            "CHAIN_ID": int,
            "KEYS": Path,
            "CONTRACT": str,
            "DEPLOYMENT": Path,
            "FOUNDER": Path,
            "CONFIRMATIONS": int,
            "GAS_PRICE": int,
            "MOST_GAS_PRICE": int,
            "COST_PER_DAY": int,
            "GAS_PER_COMMAND": int,
            "BLOCK_GAS": int,
            "TRANSACTION_BYTES": int,
            "WAIT": float,
            "OPERATOR": bool,
        }
        access = {"TIMEOUT": float, "CA": Path, "TOKEN_FILE": Path}
        if surplus := set(options) - {"RPC", *kinds, *access}:
            raise Misconfigured(f"{where}: unknown {', '.join(sorted(surplus))}")
        for name in ("RPC", "CHAIN_ID", "KEYS"):
            if not options.get(name):
                raise Misconfigured(f"{where}: {name} is missing")
        if not options.get("CONTRACT") and not options.get("DEPLOYMENT"):
            raise Misconfigured(f"{where}: CONTRACT or DEPLOYMENT is missing")

        def chosen(wanted: Mapping[str, Any]) -> dict[str, Any]:
            try:
                return {name.lower(): kind(options[name]) for name, kind in wanted.items() if name in options}
            except (TypeError, ValueError) as error:
                raise Misconfigured(f"{where}: {error}") from None

        own = chosen(kinds)
        least, most = own.get("gas_price", 0), own.get("most_gas_price")
        if most is not None and most < least:
            raise Misconfigured(f"{where}: MOST_GAS_PRICE is less than GAS_PRICE, the least")
        reached = chosen(access)
        if "token_file" in reached:
            reached["token"] = reached.pop("token_file")
        rpc = options["RPC"]
        return cls(rpc=(rpc,) if isinstance(rpc, str) else tuple(rpc), access=Access(**reached), **own)

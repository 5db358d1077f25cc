"""Who has to know when a market goes on on another ledger. An app registers in `AppConfig.ready()`."""

from collections.abc import Callable

# From a ledger to another, by their names in `LEDGERS`, in the transaction in which everything changes over.
Mover = Callable[[str, str], None]

_movers: list[Mover] = []


def register_mover(mover: Mover) -> None:
    if mover in _movers:
        raise ValueError(f"{mover.__qualname__} is registered already")
    _movers.append(mover)


def movers() -> tuple[Mover, ...]:
    return tuple(_movers)

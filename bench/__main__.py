"""`python -m bench [--only GROUP] [--rounds N]` prints each figure: name, ratio, aim, holds or short."""

import argparse
import sys
from collections.abc import Iterable

from bench import settlement
from bench.measure import Found, machine
from bench.servers import own_servers

GROUPS = ("settlement", "metering", "ledger")


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", choices=GROUPS, help="one group of figures")
    parser.add_argument("--rounds", type=int, default=7, help="how often both sides run, in turn")
    options = parser.parse_args()
    chosen = (options.only,) if options.only else GROUPS
    print(f"name  ratio  aim  verdict  ({machine()})")
    if "settlement" in chosen:
        show(settlement.figures(min(options.rounds, 5)))
    if "metering" in chosen or "ledger" in chosen:
        measure_on_servers(chosen, options.rounds)


def measure_on_servers(chosen: tuple[str, ...], rounds: int) -> None:
    with own_servers() as servers:
        # Django's models can be loaded only once the database's address is known.
        from bench import fabric, ledger, metering, quorum

        if "metering" in chosen:
            show(metering.figures(rounds, servers.database_url))
        if "ledger" in chosen:
            show(ledger.figures(rounds, servers.database_url))
            show(fabric.figures(servers, min(rounds, 3)))
            show(quorum.figures(servers, min(rounds, 3)))


def show(figures: Iterable[Found]) -> None:
    """Each as soon as it is there."""
    for figure in figures:
        print("\n".join(figure.lines()))
        sys.stdout.flush()


if __name__ == "__main__":
    main()

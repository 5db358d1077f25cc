"""`python -m bench [--only GROUP] [--rounds N]` prints each figure: name, ratio, aim, holds or short."""

import argparse
import sys

from bench import settlement
from bench.measure import Figure, machine
from bench.servers import own_database

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
        with own_database() as url:
            show(of_database(chosen, url, options.rounds))


def of_database(chosen: tuple[str, ...], url: str, rounds: int) -> list[Figure]:
    # Django's models can be loaded only once the database's address is known.
    from bench import ledger, metering

    found = metering.figures(rounds, url) if "metering" in chosen else []
    return found + (ledger.figures(rounds, url) if "ledger" in chosen else [])


def show(figures: list[Figure]) -> None:
    for figure in figures:
        print("\n".join(figure.lines()))
    sys.stdout.flush()


if __name__ == "__main__":
    main()

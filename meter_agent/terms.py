"""Which counters make up what a point reports."""

from collections.abc import Collection, Mapping
from enum import StrEnum

from evidence.readings import Register
from meter_agent.registers import Quantity


class Role(StrEnum):
    """Where a meter sits at its point."""

    GENERATION = "generation"
    GRID = "grid"


Term = tuple[int, Role, Quantity]
Terms = tuple[Term, ...]

GENERATED = (1, Role.GENERATION, Quantity.EXPORT)
TAKEN = (1, Role.GRID, Quantity.IMPORT)
GIVEN = (1, Role.GRID, Quantity.EXPORT)
LESS_GIVEN = (-1, Role.GRID, Quantity.EXPORT)


def terms_of(told: Mapping[Role, Collection[Quantity]], *, isolated: bool) -> dict[Register, Terms]:
    """The counters behind each register, for those registers that a point's meters can tell.

    What a point consumed is what it generated, less what it gave to the grid, plus what it took from there; without a
    meter for generation, what it took; without a grid, what it generated.
    """
    if isolated:
        consumption: Terms = (GENERATED,)
    elif Role.GENERATION in told:
        consumption = (GENERATED, LESS_GIVEN, TAKEN)
    else:
        consumption = (TAKEN,)
    terms: dict[Register, Terms] = {
        Register.CONSUMPTION: consumption,
        Register.GENERATION: (GENERATED,),
        Register.GRID_IMPORT: (TAKEN,),
        Register.GRID_EXPORT: (GIVEN,),
        Register.REACTIVE_1: ((1, Role.GRID, Quantity.REACTIVE_1),),
        Register.REACTIVE_2: ((1, Role.GRID, Quantity.REACTIVE_2),),
        Register.REACTIVE_3: ((1, Role.GRID, Quantity.REACTIVE_3),),
        Register.REACTIVE_4: ((1, Role.GRID, Quantity.REACTIVE_4),),
    }
    return {
        register: parts
        for register, parts in terms.items()
        if all(quantity in told.get(role, ()) for _, role, quantity in parts)
    }

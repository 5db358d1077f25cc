"""The waterfall against plain loops, and its balance in every slot."""

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from market_math.waterfall import Purchases, Waterfall, run_waterfall
from tests.data import reference
from tests.data.reference import Bought, Served

often = settings(max_examples=5 * settings().max_examples)


@dataclass(frozen=True)
class Case:
    """`purchases` are (plant, point, Wh) in ascending order of plants."""

    generation: list[list[int]]
    consumption: list[list[int]]
    site: list[int]
    purchases: list[tuple[int, int, int]]

    @property
    def slots(self) -> range:
        return range(len(self.consumption[0]))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    slots = draw(st.integers(1, 6))
    points, plants = draw(st.integers(1, 6)), draw(st.integers(0, 4))
    energy = st.one_of(st.just(0), st.integers(0, 9), st.integers(0, 2000))
    series = st.lists(energy, min_size=slots, max_size=slots)
    # No two plants stand behind the same meter.
    places = draw(st.permutations([*range(points), *[-1] * plants]))[:plants]
    purchase = st.tuples(st.integers(0, plants - 1), st.integers(0, points - 1), st.integers(1, 3000))
    return Case(
        draw(st.lists(series, min_size=plants, max_size=plants)),
        draw(st.lists(series, min_size=points, max_size=points)),
        list(places),
        sorted(draw(st.lists(purchase, max_size=10)), key=lambda p: p[0]) if plants else [],
    )


def run(case: Case) -> Waterfall:
    shape = len(case.generation), len(case.slots)
    plant, point, energy = ([purchase[i] for purchase in case.purchases] for i in range(3))
    return run_waterfall(
        np.array(case.generation, np.int64).reshape(shape),
        np.array(case.consumption, np.int64),
        np.array(case.site, np.intp),
        Purchases(np.array(plant, np.intp), np.array(point, np.intp), np.array(energy, np.int64)),
    )


def name(index: int) -> bytes:
    return index.to_bytes(2, "big")


def by_name(rows: list[list[int]]) -> dict[bytes, dict[int, int]]:
    return {name(index): dict(enumerate(series)) for index, series in enumerate(rows)}


@often
@given(cases())
def test_it_does_what_plain_loops_do(case: Case) -> None:
    expected = reference.settle(
        case.slots,
        by_name(case.generation),
        by_name(case.consumption),
        {name(plant): name(point) for plant, point in enumerate(case.site) if point >= 0},
        [Bought(name(n), name(plant), name(point), wh) for n, (plant, point, wh) in enumerate(case.purchases)],
    )
    found = run(case)
    for array, wh in ((found.own_use, expected.own_use), (found.fed_in, expected.fed_in)):
        assert array.tolist() == [[wh.get((name(i), t), 0) for t in case.slots] for i in range(len(case.site))]
    supplied = [[expected.supplied[name(i), t] for t in case.slots] for i in range(len(case.consumption))]
    assert found.supplied.tolist() == supplied
    delivered = found.deliveries
    columns = (delivered.purchase, delivered.slot, delivered.weight, delivered.limit, delivered.allocated)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    assert {(name(n), slot): Served(*row) for n, slot, *row in rows} == expected.served
    assert len(rows) == len(expected.served)


@often
@given(cases())
def test_every_watt_hour_is_somewhere_once(case: Case) -> None:
    found = run(case)
    sold = np.zeros_like(found.fed_in)
    bought = np.zeros_like(found.supplied)
    delivered = found.deliveries
    plant = np.array([purchase[0] for purchase in case.purchases], np.intp)
    point = np.array([purchase[1] for purchase in case.purchases], np.intp)
    np.add.at(sold, (plant[delivered.purchase], delivered.slot), delivered.allocated)
    np.add.at(bought, (point[delivered.purchase], delivered.slot), delivered.allocated)
    own_use = np.zeros_like(found.supplied)
    for index, place in enumerate(case.site):
        if place >= 0:
            own_use[place] += found.own_use[index]
    assert (found.own_use + found.available).tolist() == case.generation
    assert (found.own_use + sold + found.fed_in).tolist() == case.generation
    assert (own_use + bought + found.supplied).tolist() == case.consumption
    assert min(found.own_use.min(initial=0), found.fed_in.min(initial=0), found.supplied.min(initial=0)) >= 0
    total = np.zeros(len(case.purchases), np.int64)
    np.add.at(total, delivered.purchase, delivered.allocated)
    assert all(wh <= purchase[2] for wh, purchase in zip(total.tolist(), case.purchases, strict=True))


@often
@given(cases())
def test_nothing_is_fed_in_that_a_buyer_still_waits_for(case: Case) -> None:
    found = run(case)
    delivered = found.deliveries
    undelivered = [purchase[2] for purchase in case.purchases]
    for slot in case.slots:
        here = delivered.slot == slot
        for n, wh in zip(delivered.purchase[here].tolist(), delivered.allocated[here].tolist(), strict=True):
            undelivered[n] -= wh
        for n, (plant, point, _) in enumerate(case.purchases):
            assert not (found.fed_in[plant, slot] and found.supplied[point, slot] and undelivered[n])

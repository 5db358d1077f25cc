"""Values that can hardly be right: a plant that makes nothing by day, far more consumption than on the same weekday."""

import datetime as dt
from collections.abc import Iterable

import pytest

from apps.assets.models import MeteringPoint
from apps.metering import readings
from apps.metering.conditions import SLOW, consumes_unusually, makes_nothing
from apps.metering.models import Alarm, Measurement, Thresholds
from apps.metering.readings import Sum
from apps.metering.services.alarms import watch
from evidence.readings import Quality, Register
from market_math.slots import day_bounds, day_slots
from tests.metering.head_end import HeadEnd, make_head_end

pytestmark = pytest.mark.django_db
TRUE, SUBSTITUTE = Quality.TRUE_VALUE, Quality.SUBSTITUTE


@pytest.fixture
def head_end() -> HeadEnd:
    return make_head_end(points=2)


def ago(head_end: HeadEnd, days: int) -> dt.date:
    return head_end.area.today - dt.timedelta(days=days)


def measured(
    head_end: HeadEnd, day: dt.date, values: Iterable[int], register: Register, point: int = 0, quality: int = TRUE
) -> None:
    """Readings of a whole day, hour by hour: a value for each, used four times. Batches play no part here."""
    slots = day_slots(day, head_end.area.zone, 15)
    hours = list(values)
    rows = [
        readings.Row(head_end.points[point].pk, register, slot, hours[min(index // 4, 23)], quality)
        for index, slot in enumerate(slots)
    ]
    readings.prepare_partitions(slots.start, slots.stop)
    readings.write(head_end.area.pk, 1, rows)


def idle(head_end: HeadEnd) -> dict[int, dict[str, str | int]]:
    return makes_nothing(head_end.area, Thresholds(area=head_end.area))


def unusual(head_end: HeadEnd) -> dict[int, dict[str, str | int]]:
    return consumes_unusually(head_end.area, Thresholds(area=head_end.area))


def test_sums_by_day_and_point_of_what_stands(head_end: HeadEnd) -> None:
    day, before = dt.date(2026, 10, 25), dt.date(2026, 10, 24)
    measured(head_end, day, [10] * 24, Register.CONSUMPTION)
    measured(head_end, day, [20] * 24, Register.CONSUMPTION)
    measured(head_end, day, [7] * 24, Register.CONSUMPTION, point=1, quality=SUBSTITUTE)
    measured(head_end, before, [1] * 24, Register.CONSUMPTION, point=1)
    measured(head_end, before, [99] * 24, Register.GENERATION)
    windows = {each: day_bounds(each, head_end.area.zone) for each in (before, day)}
    first, second = (point.pk for point in head_end.points)
    # The second version stands, the substitute does not count, and the day has 25 hours.
    assert readings.sums(head_end.area.pk, windows, Register.CONSUMPTION) == {
        (day, first): Sum(100, 2000),
        (before, second): Sum(96, 96),
    }


def test_a_plant_that_makes_nothing_around_noon_for_two_days(head_end: HeadEnd) -> None:
    night_only = [3] * 11 + [0] * 3 + [3] * 10
    measured(head_end, ago(head_end, 2), night_only, Register.GENERATION)
    assert idle(head_end) == {}
    measured(head_end, ago(head_end, 1), night_only, Register.GENERATION)
    assert idle(head_end) == {head_end.device.pk: {"plant": "roof", "days": 2}}
    measured(head_end, ago(head_end, 1), [0] * 12 + [1] + [0] * 11, Register.GENERATION)
    assert idle(head_end) == {}


def test_readings_that_lack_are_no_zeros_and_substitutes_say_nothing(head_end: HeadEnd) -> None:
    measured(head_end, ago(head_end, 2), [0] * 24, Register.GENERATION)
    measured(head_end, ago(head_end, 1), [0] * 24, Register.GENERATION, quality=SUBSTITUTE)
    assert idle(head_end) == {}


def test_a_point_without_a_plant_may_make_nothing(head_end: HeadEnd) -> None:
    for days in (1, 2):
        measured(head_end, ago(head_end, days), [0] * 24, Register.GENERATION, point=1)
    assert idle(head_end) == {}


def week_of(head_end: HeadEnd, yesterday: int, earlier: list[int], point: int = 0) -> None:
    """Wh of each quarter-hour of yesterday, and of the same weekday one, two, ... weeks before."""
    for weeks, value in enumerate([yesterday, *earlier]):
        measured(head_end, ago(head_end, 1 + 7 * weeks), [value] * 24, Register.CONSUMPTION, point)


def slots(head_end: HeadEnd, days: int) -> int:
    return len(day_slots(ago(head_end, days), head_end.area.zone, 15))


def test_consumption_far_above_the_same_weekday(head_end: HeadEnd) -> None:
    week_of(head_end, 501, [100, 80, 60, 100])
    assert unusual(head_end) == {
        head_end.device.pk: {
            "wh": 501 * slots(head_end, 1),
            "usual": 100 * max(slots(head_end, 8), slots(head_end, 29)),
            "day": ago(head_end, 1).isoformat(),
        }
    }


@pytest.mark.parametrize(
    ("yesterday", "earlier"),
    [
        (500, [100, 80]),  # five times as much, not more
        (100, [1, 1]),  # too little to matter: less than 10 kWh
        (501, [100]),  # one week only
        (501, [50, 50, 50, 200]),  # one of the weeks was like this
    ],
)
def test_consumption_that_is_not_unusual(head_end: HeadEnd, yesterday: int, earlier: list[int]) -> None:
    week_of(head_end, yesterday, earlier)
    assert unusual(head_end) == {}


def test_a_device_answers_only_for_what_it_measures_now(head_end: HeadEnd) -> None:
    week_of(head_end, 900, [10, 10], point=1)
    assert list(unusual(head_end)) == [head_end.device.pk]
    second = Measurement.objects.filter(point=head_end.points[1])
    for change, is_found in (
        ({"registers": [Register.GENERATION]}, False),
        ({"registers": [Register.CONSUMPTION]}, True),
        ({"is_backup": True}, False),
        ({"is_backup": False, "until": 5}, False),
    ):
        second.update(**change)
        assert bool(unusual(head_end)) == is_found, change


def test_an_alarm_over_values_opens_and_closes(head_end: HeadEnd) -> None:
    week_of(head_end, 900, [10, 10])
    watch(head_end.area, SLOW)
    assert list(Alarm.objects.values_list("kind", "closed_at")) == [("consumption", None)]
    measured(head_end, ago(head_end, 1), [10] * 24, Register.CONSUMPTION)
    watch(head_end.area, SLOW)
    assert Alarm.objects.get().closed_at is not None
    assert MeteringPoint.objects.count() == 2

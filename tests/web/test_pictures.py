import re
import xml.etree.ElementTree as ET
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation
from django.utils.safestring import SafeString

from apps.web.pictures import (
    BillBar,
    BillPart,
    CalendarDay,
    CalendarMap,
    DayChart,
    Flow,
    FlowDiagram,
    FlowNode,
    Hue,
    LoadCurve,
    LocalDay,
    PowerStrip,
    Series,
    Tint,
    bill_bar,
    calendar_map,
    calendar_table,
    day_chart,
    day_table,
    flow_diagram,
    flow_table,
    load_curve,
    load_table,
    power_strip,
    power_table,
)
from apps.web.pictures.day import Plot
from apps.web.pictures.svg import NARROW, axis_step

BERLIN = ZoneInfo("Europe/Berlin")
USUAL = LocalDay(date(2021, 3, 15), BERLIN)
FORWARD = LocalDay(date(2021, 3, 28), BERLIN)
BACK = LocalDay(date(2021, 10, 31), BERLIN)


def chart(day: LocalDay = USUAL, label: str = "Own use", wh: int | None = 100) -> DayChart:
    count = len(day.starts)
    series = (Series(Hue.OWN, label, (wh,) * count), Series(Hue.GRID, "Utility", (50,) * count))
    return DayChart("day", "Your day", day, series)


def bill(*parts: BillPart) -> BillBar:
    return BillBar("bill", "March", "EUR", sum(part.amount for part in parts), parts)


def flows(*bands: Flow) -> FlowDiagram:
    sources = (FlowNode("roof", "Your roof"), FlowNode("utility", "Utility"))
    return FlowDiagram(
        "flow", "Where it went", sources, (FlowNode("home", "Your home"), FlowNode("sold", "Sold")), bands
    )


def month(*days: CalendarDay) -> CalendarMap:
    return CalendarMap("month", "Readings", date(2021, 3, 1), days)


PICTURES = {
    "month": lambda: calendar_map(month(CalendarDay(date(2021, 3, 15), Tint.SOME, "97%", "3 missing", "/days/15/"))),
    "day": lambda: day_chart(chart()),
    "load": lambda: load_curve(LoadCurve("load", "Load", USUAL, consumption=(80,) * 96, generation=(120,) * 96)),
    "flow": lambda: flow_diagram(flows(Flow("roof", "home", 5000, Hue.OWN), Flow("utility", "home", 900, Hue.GRID))),
    "bill": lambda: bill_bar(bill(BillPart("Own use", 0, Hue.OWN, 100), BillPart("Sold", -50, Hue.NEIGHBOURS))),
}


def parsed(picture: SafeString) -> ET.Element:
    return ET.fromstring(picture)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_well_formed_and_carry_no_inline_style_or_script(name: str) -> None:
    root = parsed(PICTURES[name]())
    for element in root.iter():
        assert element.tag not in ("style", "script")
        assert not [key for key in element.attrib if key == "style" or key.startswith("on")]


@pytest.mark.parametrize("name", PICTURES)
def test_both_drawings_are_named_for_screen_readers_by_ids_that_exist_once(name: str) -> None:
    root = parsed(PICTURES[name]())
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    drawings = [element for element in root.iter("svg") if element.get("role") == "img"]
    assert [drawing.attrib["class"] for drawing in drawings] == ["drawing drawing-narrow", "drawing drawing-wide"]
    for drawing in drawings:
        assert set(drawing.attrib["aria-labelledby"].split()) <= set(ids)
    referred = re.findall(r"url\(#([^)]+)\)", ET.tostring(root, encoding="unicode"))
    assert set(referred) <= set(ids)


def test_labels_are_escaped() -> None:
    picture = day_chart(chart(label="<b>Ana & Co</b>"))
    assert "<b>" not in picture
    assert "&lt;b&gt;Ana &amp; Co&lt;/b&gt;" in picture


def test_an_id_that_could_break_out_is_refused() -> None:
    with pytest.raises(ValueError, match="id"):
        day_chart(DayChart('x" onload="', "Day", USUAL, ()))


@pytest.mark.parametrize(("day", "slots"), [(USUAL, 96), (FORWARD, 92), (BACK, 100)])
def test_a_local_day_has_as_many_slots_as_its_clocks_say(day: LocalDay, slots: int) -> None:
    assert len(day.starts) == slots
    assert len(day_table(chart(day)).rows) == slots


def test_clock_labels_follow_the_local_day() -> None:
    assert [label for _slot, label in USUAL.ticks(6)] == ["00:00", "06:00", "12:00", "18:00", "24:00"]
    assert {label: slot for slot, label in FORWARD.ticks(6)}["06:00"] == 20
    assert {label: slot for slot, label in BACK.ticks(6)}["06:00"] == 28
    assert [label for _slot, label in BACK.ticks(2)].count("02:00") == 1


def test_a_change_of_the_clocks_is_said() -> None:
    assert "23 hours" in day_chart(chart(FORWARD))
    assert "25 hours" in day_chart(chart(BACK))
    assert "hours" not in day_chart(chart(USUAL))


def test_a_value_missing_at_the_end_of_the_day_is_refused() -> None:
    with pytest.raises(ValueError, match="92 slots"):
        DayChart("day", "Day", FORWARD, (Series(Hue.OWN, "Own use", (1,) * 96),))


def test_negative_energy_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        LoadCurve("load", "Load", USUAL, consumption=(-1,) * 96)


def test_areas_step_from_slot_to_slot_and_start_at_zero() -> None:
    plot = Plot(NARROW, USUAL, slots=4, largest=100)
    assert plot.area((0, 100, 100, None)) == "M40 192V192H111.8V28H255.2V192Z"
    assert plot.area((None, 100, None, 50)) == "M111.8 192V28H183.5V192ZM255.2 192V110H327V192Z"


def test_the_axis_starts_at_zero_and_covers_the_largest_value() -> None:
    plot = Plot(NARROW, USUAL, slots=96, largest=420)
    assert (plot.step, plot.top) == (100, 500)
    assert plot.y(0) == plot.base


@pytest.mark.parametrize(("largest", "step"), [(0, 10), (50, 10), (51, 20), (420, 100), (1001, 500), (25_000, 5000)])
def test_axis_steps_are_round(largest: int, step: int) -> None:
    assert axis_step(largest) == step


def test_the_legend_carries_the_totals_in_the_readers_language() -> None:
    with translation.override("de"):
        assert "9,6\u00a0kWh" in day_chart(chart())


def test_the_table_of_a_day_adds_up() -> None:
    table = day_table(chart())
    assert table.rows[0] == ("00:00\u201300:15", "0.10", "0.05", "0.15")
    assert table.total == ("Whole day", "9.60", "4.80", "14.40")


def test_what_is_not_known_yet_is_shown_as_unknown() -> None:
    table = load_table(LoadCurve("load", "Load", USUAL, consumption=(*([100] * 95), None)))
    assert table.rows[-1] == ("23:45\u201324:00", "\u2013")
    assert table.total == ("Whole day", "9.50")


def test_a_load_curve_fills_what_was_used_on_the_spot() -> None:
    picture = load_curve(LoadCurve("load", "Load", USUAL, consumption=(80,) * 96, generation=(120,) * 96))
    assert "Used on the spot" in picture
    assert "7.68\u00a0kWh" in picture


def test_a_day_without_energy_still_has_its_axes() -> None:
    assert "24:00" in day_chart(DayChart("day", "Day", USUAL, (Series(Hue.OWN, "Own use", (0,) * 96),)))
    assert "24:00" in day_chart(DayChart("day", "Day", USUAL, ()))


def test_bands_are_as_wide_as_their_energy() -> None:
    root = parsed(flow_diagram(flows(Flow("roof", "home", 3000, Hue.OWN), Flow("roof", "sold", 1000, Hue.NEIGHBOURS))))
    heights = [
        float(rect.attrib["height"])
        for rect in root.findall(".//svg")[0].iter("rect")
        if rect.attrib.get("class") == "node"
    ]
    assert heights == [160, 120, 40]


def test_nodes_without_energy_are_left_out() -> None:
    assert "Utility" not in flow_diagram(flows(Flow("roof", "home", 1, Hue.OWN), Flow("utility", "home", 0, Hue.GRID)))
    assert "<svg" in flow_diagram(flows())


def test_the_table_of_a_flow_adds_up() -> None:
    table = flow_table(flows(Flow("roof", "home", 3000, Hue.OWN), Flow("utility", "home", 500, Hue.GRID)))
    assert table.total == ("Together", "", "3.50")


def test_a_flow_to_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown node"):
        flows(Flow("roof", "moon", 1, Hue.OWN))


def test_a_bill_whose_parts_do_not_add_up_is_refused() -> None:
    with pytest.raises(ValueError, match="add up"):
        BillBar("bill", "March", "EUR", due=101, parts=(BillPart("Fee", 100, Hue.NEUTRAL),))


def test_a_bill_shows_credits_and_what_is_due() -> None:
    picture = bill_bar(bill(BillPart("Utility", 5000, Hue.GRID, 1000), BillPart("Sold", -1200, Hue.NEIGHBOURS)))
    assert "To pay" in picture
    assert "€38.00" in picture
    assert "\u2212€12.00" in picture


def test_a_bill_with_more_credits_than_costs_is_paid_out() -> None:
    picture = bill_bar(bill(BillPart("Utility", 500, Hue.GRID, 1000), BillPart("Sold", -1200, Hue.NEIGHBOURS)))
    assert "Paid out to you" in picture
    assert "€7.00" in picture


def test_a_calendar_has_a_cell_for_each_day_and_links_where_there_is_a_page() -> None:
    days = (
        CalendarDay(date(2021, 3, 1), Tint.FULL, "100%", "complete", "/days/1/"),
        CalendarDay(date(2021, 3, 31), Tint.MOST, "0%", "96 missing"),
    )
    drawn = calendar_map(month(*days))
    narrow = ET.fromstring(drawn)[0]
    cells = [each for each in narrow.iter() if "tint" in each.get("class", "")]
    assert len(cells) == 31
    assert [each.get("class") for each in cells if each.get("class") != "tint tint-unknown"] == [
        "tint tint-full",
        "tint tint-most",
    ]
    # 2021-03-01 is a Monday, 2021-03-31 a Wednesday of the fifth week.
    assert cells[0].get("x") == "1" and cells[30].get("y") == str(24 + 4 * 52 + 1)
    links = [each for each in narrow.iter() if each.tag == "a"]
    assert [(each.get("href"), each.get("aria-label")) for each in links] == [("/days/1/", "1 March 2021: complete")]
    assert calendar_table(month(*days)).rows == (
        ("1 March 2021", "100%", "complete"),
        ("31 March 2021", "0%", "96 missing"),
    )


def test_a_calendar_takes_days_of_its_month_only() -> None:
    with pytest.raises(ValueError, match="no day of 2021-03"):
        month(CalendarDay(date(2021, 4, 1), Tint.FULL, "100%", "complete"))


def strip(consumption: tuple[int | None, ...] | None, generation: tuple[int | None, ...] | None = None) -> PowerStrip:
    first = datetime(2021, 3, 1, 12, 30, tzinfo=UTC)
    return PowerStrip("now", "The last hours", BERLIN, 15, first, consumption, generation)


def test_a_strip_of_power_breaks_where_nothing_is_known() -> None:
    drawn = power_strip(strip((100, 200, None, 300), (0, 0, 0, 0)))
    narrow = ET.fromstring(drawn)[0]
    curves = [each.get("d") for each in narrow.iter() if "curve-consumption" in each.get("class", "")]
    # Four slots over 287 pixels, 300 W over 94.
    assert curves == ["M40 90.7V90.7H111.8V59.3H183.5", "M255.2 28V28H327"]
    assert "at most 0.30\u00a0kW" in drawn and "at most 0.00\u00a0kW" in drawn
    # Half past one in Berlin: the only full hour is two.
    assert [each.text for each in narrow.iter() if each.text and ":00" in each.text] == ["14:00"]


def test_the_table_of_a_strip_has_the_newest_slot_first() -> None:
    table = power_table(strip((1_000, None)))
    assert [column.label for column in table.columns] == ["Time", "Consumption, kW"]
    assert table.rows == (("13:45\u201314:00", "\u2013"), ("13:30\u201313:45", "1.00"))


@pytest.mark.parametrize("both", [(None, None), ((1,), (1, 2)), ((-1,), None), ((), None)])
def test_a_strip_without_sense_is_refused(both: tuple[tuple[int, ...] | None, tuple[int, ...] | None]) -> None:
    with pytest.raises(ValueError, match=r"strip|Power"):
        strip(*both)

"""Tables of a metering operator, through both days on which the clocks change."""

import datetime as dt
import io
import zipfile
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from openpyxl import Workbook

from apps.metering.formats import base
from apps.metering.formats.base import TICKS, Content, ValueUnit
from apps.metering.formats.slots import slots_of
from apps.metering.formats.tables import Layout, read_csv, read_xlsx
from evidence.readings import Quality, Register

BERLIN = ZoneInfo("Europe/Berlin")
SPRING, AUTUMN = 1_616_886_000, 1_635_631_200  # local midnights of 2021-03-28 and 2021-10-31
LONG = Layout(
    time="Zeit",
    form="%d.%m.%Y %H:%M",
    zone=BERLIN,
    decimal=",",
    point="Zählpunkt",
    register="OBIS",
    value="Wert",
    quality="Status",
    substitutes=frozenset({"E"}),
)
WIDE = Layout(time="t", unit=ValueUnit.WH, series={"a": ("A", Register.GRID_IMPORT), "b": ("B", Register.GENERATION)})
HEAD = "Zählpunkt;OBIS;Zeit;Wert;Status"
IMPORT = ("DE1", Register.GRID_IMPORT)


def named(content: Content) -> list[tuple[int, str, str]]:
    return [(problem.line, problem.field, problem.rule) for problem in content.problems]


def long(*rows: str, layout: Layout = LONG, head: str = HEAD) -> Content:
    return read_csv("x.csv", "\n".join((head, *rows)).encode(layout.encoding), layout)


def energies(content: Content, key: tuple[str, Register] = IMPORT, seconds: int = 900) -> dict[int, int]:
    return {slot: value.value for slot, value in slots_of(content.samples[key], seconds).values.items()}


def local_rows(start: int, count: int, *, at_end: bool = False, own_clock: bool = True) -> list[str]:
    """Quarter-hours in local time; at the end of a period by the clock then, or by its start's clock."""
    rows = []
    for n in range(count):
        instant = start + n * 900
        shown = dt.datetime.fromtimestamp(instant + (900 if at_end and own_clock else 0), BERLIN)
        if at_end and not own_clock:
            shown = shown.replace(tzinfo=None) + dt.timedelta(minutes=15)
        rows.append(f"DE1;1-1:1.29.0;{shown:%d.%m.%Y %H:%M};0,{n + 1:03};W")
    return rows


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("own_clock", [False, True])
@pytest.mark.parametrize(("start", "count"), [(SPRING, 92), (AUTUMN, 100)])
def test_days_on_which_clocks_change(start: int, count: int, at_end: bool, own_clock: bool) -> None:
    rows = local_rows(start, count, at_end=at_end, own_clock=own_clock)
    found = long(*rows, layout=replace(LONG, at_end=at_end))
    assert named(found) == []
    assert energies(found) == {start + n * 900: n + 1 for n in range(count)}


def test_a_time_that_the_clocks_skip() -> None:
    assert named(long("DE1;1.29.0;28.03.2021 02:15;1;")) == [(2, "time", "no_time")]


def test_an_hour_that_comes_thrice() -> None:
    rows = [f"DE1;1.29.0;31.10.2021 02:00;{n};" for n in range(3)]
    assert named(long(*rows)) == [(4, "time", "not_ascending")]


def test_midnight_at_the_end_of_a_day() -> None:
    found = long("DE1;1.29.0;01.06.2021 24:00;1;", layout=replace(LONG, at_end=True))
    assert list(energies(found)) == [1_622_584_800 - 900]


def test_registers_qualities_and_decimals() -> None:
    found = long(
        "DE1;1-1:1.29.0;01.06.2021 00:00;0,5;W",
        "DE1;1-1:1.29.0;01.06.2021 00:15;0,0005;E",
        "DE1;1-1:5.29.0;01.06.2021 00:00;2;W",
        "DE1;export;01.06.2021 00:00;3;W",
    )
    assert named(found) == []
    assert [(s.ticks * 2 // TICKS, s.quality) for s in found.samples[IMPORT]] == [(1000, 1), (1, Quality.SUBSTITUTE)]
    assert set(found.samples) == {IMPORT, ("DE1", Register.REACTIVE_1), ("DE1", Register.GRID_EXPORT)}


def test_what_a_row_can_break() -> None:
    found = long(
        "DE1;1.29.0;01.06.2021 00:00;1.5;",
        "DE1;1.29.0;01.06.2021 00:15;-1;",
        "DE1;1.29.0;01.06.2021;1;",
        "DE1;9.9.9;01.06.2021 00:45;1;",
        ";1.29.0;01.06.2021 01:00;1;",
        "DE1;1.29.0;01.06.2021 01:15;1",
        "DE1;1.29.0;01.06.2021 01:30;;",
        "DE1;1.29.0;31.06.2021 01:30;1;",
        f"DE1;1.29.0;01.06.2021 02:00;0,{'0' * 20}1;",
        "DE1;1.29.0;01.06.2021 02:15;1;",
    )
    assert named(found) == [
        (2, "Wert", "not_a_number"),
        (3, "Wert", "negative"),
        (4, "time", "no_time"),
        (5, "OBIS", "unknown_register"),
        (6, "Zählpunkt", "no_point"),
        (7, "", "wrong_columns"),
        (8, "Wert", "not_a_number"),
        (9, "time", "no_time"),
        (10, "Wert", "too_many_decimals"),
    ]
    assert len(found.samples[IMPORT]) == 1


def test_powers_and_counters() -> None:
    times = [f"01.06.2021 {n // 4:02}:{n % 4 * 15:02}" for n in range(5)]
    power = [f"DE1;1.29.0;{time};{value};" for time, value in zip(times, ("0,4", "0,1", "0,1", "0,1"), strict=False)]
    assert list(energies(long(*power, layout=replace(LONG, unit=ValueUnit.KW))).values()) == [100, 25, 25, 25]
    watts = [f"DE1;1.29.0;{time};1;" for time in times[:4]]
    assert list(energies(long(*watts, layout=replace(LONG, unit=ValueUnit.W))).values()) == [0, 1, 0, 0]
    stands = [
        f"DE1;1.8.0;{time};{value};"
        for time, value in zip(times, ("1000,0", "1000,0004", "1000,0008", "1001", "1002,5"), strict=True)
    ]
    counted = long(*stands, layout=replace(LONG, unit=ValueUnit.COUNTER_KWH))
    assert list(energies(counted).values()) == [0, 1, 999, 1500]


def test_a_wide_table_in_utc() -> None:
    content = b"t;a;x;b\n2021-06-01T00:00;1;?;\n2021-06-01T00:15Z;2;?;7\n2021-06-01T02:30+02:00;x;?;8\n"
    found = read_csv("x.csv", content, WIDE)
    assert named(found) == [(4, "a", "not_a_number")]
    start = 1_622_505_600
    assert energies(found, ("A", Register.GRID_IMPORT)) == {start: 1, start + 900: 2}
    assert energies(found, ("B", Register.GENERATION)) == {start + 900: 7, start + 1800: 8}


def test_date_and_time_apart_and_titles_above() -> None:
    layout = replace(WIDE, date="d", header=3, series={"a": ("A", Register.GRID_IMPORT)})
    found = read_csv("x.csv", b"Operator\n\nd;t;a\n2021-06-01;00:00;5\n", layout)
    assert energies(found, ("A", Register.GRID_IMPORT)) == {1_622_505_600: 5}


def test_files_that_are_unusable_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MOST_SAMPLES", 1000)
    for content, rule in [
        (b"", "empty"),
        (b"a;b;c\n1;2;3\n", "wrong_columns"),
        (b"t;a;a;b\n", "wrong_columns"),
        (b"t;a;b\n\xff\xfe;1;2\n", "wrong_encoding"),
        (b't;a;b\n"2021;1;2\n', "not_csv"),
        (b"t;a;b\n" + b"1" * 200_000, "too_long_line"),
        (b"t;a;b\n" + b"x;1;\n" * 30_000, "too_many_problems"),
        (b"t;a;b\n" + b"2021-06-01T00:00;1;\n" * 1001, "too_many_values"),
    ]:
        found = read_csv("x.csv", content, WIDE)
        assert (found.is_broken, found.samples, found.problems[0].rule) == (True, {}, rule), content[:20]


def test_problems_are_listed_up_to_a_bound() -> None:
    found = read_csv("x.csv", b"t;a;b\n" + b"x;1;\n" * 5000, WIDE)
    assert (len(found.problems), found.more_problems) == (1000, {"no_time": 4000})


def workbook(*rows: list[object]) -> bytes:
    book, target = Workbook(), io.BytesIO()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    book.save(target)
    return target.getvalue()


def test_a_workbook() -> None:
    rows: list[list[object]] = [[*HEAD.split(";")]]
    for n in range(4):
        time = dt.datetime(2021, 6, 1, 0, 15 * n)  # noqa: DTZ001 as spreadsheets keep times
        rows.append(["DE1", "1-1:1.29.0", time, 0.1 * (n + 1)])
    found = read_xlsx("x.xlsx", workbook(*rows), replace(LONG, form=""))
    assert named(found) == []
    assert list(energies(found).values()) == [100, 200, 300, 400]  # 0.30000000000000004 is 0.3
    assert min(energies(found)) == 1_622_498_400


def changed(content: bytes, name: str, text: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info.filename, text if info.filename == name else old.read(info))
    return target.getvalue()


def test_workbooks_that_are_refused_before_they_are_parsed() -> None:
    good = workbook(["t", "a", "b"])
    sheet = "xl/worksheets/sheet1.xml"
    laughs = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'
    for content, rule in [
        (changed(good, sheet, laughs), "unsafe_xml"),
        (
            changed(good, sheet, '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x><x/>'.encode("utf-16")),
            "unsafe_xml",
        ),
        (changed(good, sheet, b"\0" * 60_000_000), "too_large"),
        (changed(good, sheet, b"<sheet"), "no_workbook"),
        (changed(good, "xl/workbook.xml", b"<workbook/>"), "no_workbook"),
        (good[: len(good) // 2], "damaged"),
        (b"PK\x03\x04" + b"\0" * 100, "damaged"),
        (b"no archive", "no_workbook"),
    ]:
        found = read_xlsx("x.xlsx", content, WIDE)
        assert (found.is_broken, found.problems[0].rule) == (True, rule)


def test_a_sheet_that_says_it_is_huge() -> None:
    row = b'<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>t</t></is></c></row>'
    sheet = (
        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><dimension ref="A1:XFD1048576"/>'
    )
    content = changed(
        workbook(["t"]), "xl/worksheets/sheet1.xml", sheet + b"<sheetData>" + row + b"</sheetData></worksheet>"
    )
    assert read_xlsx("x.xlsx", content, WIDE).problems[0].rule == "too_many_rows"

"""Spanish load curves: hours by the clock and the season, packed and not."""

import bz2
import io
import zipfile
from zoneinfo import ZoneInfo

from apps.metering.formats.base import TICKS, Content
from apps.metering.formats.slots import slots_of
from apps.metering.formats.spanish import read_spanish
from evidence.readings import Quality, Register

MADRID = ZoneInfo("Europe/Madrid")
CUPS = "ES0031405012345678AB0F"
IMPORT, EXPORT = (CUPS, Register.GRID_IMPORT), (CUPS, Register.GRID_EXPORT)
# Ends of the hours of a day, with the season, by the clock at that instant.
SPRING = [("2021/03/28 01:00", 0), ("2021/03/28 03:00", 1), *((f"2021/03/28 {h:02}:00", 1) for h in range(4, 24))]
SPRING.append(("2021/03/29 00:00", 1))
AUTUMN = [("2021/10/31 01:00", 1), ("2021/10/31 02:00", 1), ("2021/10/31 02:00", 0)]
AUTUMN += [*((f"2021/10/31 {h:02}:00", 0) for h in range(3, 24)), ("2021/10/31 24:00", 0)]


def f5d(time: str, season: int, ai: object, ae: object = 0, firm: int = 1) -> str:
    return f"{CUPS};{time};{season};{ai};{ae};1;2;3;4;1;{firm};F001;"


def read(*rows: str) -> Content:
    return read_spanish("x", "\n".join(rows).encode(), MADRID)


def named(content: Content) -> list[tuple[int, str, str]]:
    return [(problem.line, problem.field, problem.rule) for problem in content.problems]


def slots(content: Content, key: tuple[str, Register] = IMPORT) -> dict[int, int]:
    return {slot: value.value for slot, value in slots_of(content.samples[key], 900).values.items()}


def test_f5d_is_in_wh_and_an_hour_is_spread_over_its_quarters() -> None:
    found = read(f5d("2021/06/01 01:00", 1, 1002, 7))
    assert named(found) == []
    start = 1_622_498_400  # midnight in Madrid
    assert slots(found) == {start: 251, start + 900: 250, start + 1800: 251, start + 2700: 250}
    assert sum(slots(found, EXPORT).values()) == 7
    assert sum(slots(found, (CUPS, Register.REACTIVE_3)).values()) == 3


def test_days_on_which_clocks_change() -> None:
    for day, start, hours in ((SPRING, 1_616_886_000, 23), (AUTUMN, 1_635_631_200, 25)):
        found = read(*(f5d(time, season, 4 * n) for n, (time, season) in enumerate(day)))
        assert named(found) == []
        assert slots(found) == {start + q * 900: q // 4 for q in range(hours * 4)}


def test_the_hour_before_a_change_by_either_clock() -> None:
    for one, other in (
        (("2021/03/28 02:00", 0), ("2021/03/28 03:00", 1)),
        (("2021/10/31 03:00", 1), ("2021/10/31 02:00", 0)),
    ):
        assert list(slots(read(f5d(*one, 4)))) == list(slots(read(f5d(*other, 4))))


def test_a_season_that_is_not_then() -> None:
    assert named(read(f5d("2021/06/01 01:00", 0, 4))) == [(1, "season", "wrong_season")]
    assert named(read(f5d("2021/01/01 01:00", 1, 4))) == [(1, "season", "wrong_season")]
    assert named(read(f5d("2021/01/01 01:00", 7, 4))) == [(1, "season", "wrong_season")]


def test_p1_has_kwh_qualities_and_firmness() -> None:
    row = f"{CUPS};11;2021/06/01 01:00:00;1;1.5;0;0.25;128;0;0;0;0;0;0;0;0;0;0;0;0;1;1;"
    weak = f"{CUPS};11;2021/06/01 02:00:00;1;2;0;0;0;0;0;0;0;0;0;0;0;0;0;0;0;4;0"
    found = read(row, weak)
    assert named(found) == []
    assert [(s.ticks // TICKS, s.quality) for s in found.samples[IMPORT]] == [(1500, 1), (2000, Quality.SUBSTITUTE)]
    assert found.samples[EXPORT][0][3:] == (250 * TICKS, Quality.SUBSTITUTE)


def test_p5d_and_quarters() -> None:
    found = read(*(f"{CUPS};2021/06/01 {t};1;{n};0;" for n, t in enumerate(("00:15", "00:30", "00:45", "01:00"), 1)))
    assert list(slots(found).values()) == [1, 2, 3, 4]


def test_rows_that_cannot_be_used() -> None:
    found = read(
        f5d("2021/06/01 01:00", 1, "x"),
        f5d("2021/06/31 01:00", 1, 1),
        f5d("2021/06/01 25:00", 1, 1),
        f5d("01/06/2021 01:00", 1, 1),
        f5d("2021/06/01 02:00", 1, 1, firm=2),
        "a;b;c",
        "ñ",
        f5d("2021/06/01 03:00", 1, 8),
    )
    assert named(found) == [
        (2, "time", "no_time"),
        (3, "time", "no_time"),
        (4, "time", "no_time"),
        (5, "firm", "unknown_quality"),
        (6, "", "wrong_columns"),
        (7, "", "not_ascii"),
        (1, "grid_import", "not_a_number"),
    ]
    assert sum(slots(found).values()) == 8


def test_packed_files() -> None:
    plain = "\n".join(f5d(f"2021/06/01 {h:02}:00", 1, 4) for h in range(1, 24)).encode()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("F5D_1.0.bz2", bz2.compress(plain))
        archive.writestr("F5D_2.0", f5d("2021/06/01 24:00", 1, 4))
    for content in (bz2.compress(plain), bz2.compress(plain[:400]) + bz2.compress(plain[400:])):
        assert len(read_spanish("x", content, MADRID).samples[IMPORT]) == 23
    assert len(read_spanish("x", target.getvalue(), MADRID).samples[IMPORT]) == 24


def bomb() -> bytes:
    return bz2.compress(b"0" * 60_000_000)


def test_archives_that_are_refused() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(300):
            archive.writestr(f"{n}", "")
    huge = io.BytesIO()
    with zipfile.ZipFile(huge, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", b"0" * 60_000_000)
    nested = io.BytesIO()
    with zipfile.ZipFile(nested, "w") as archive:
        archive.writestr("x.bz2", bomb())
    for content, rule in [
        (bomb(), "too_large"),
        (huge.getvalue(), "too_large"),
        (nested.getvalue(), "too_large"),
        (target.getvalue(), "too_many_files"),
        (bz2.compress(b"x" * 1000)[:-20], "damaged"),
        (b"BZhello", "damaged"),
        (huge.getvalue()[:1000], "damaged"),
        (b"", "empty"),
        (b"\n\n", "empty"),
    ]:
        found = read_spanish("x", content, MADRID)
        assert (found.is_broken, found.problems[0].rule) == (True, rule)

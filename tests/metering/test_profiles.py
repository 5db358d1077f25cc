"""Reading profiles: exact energy of good files, and the name of every rule that a row can break."""

from fractions import Fraction

import pytest

from apps.metering.profiles import Profile, Rules, read_profile

STEP = 900
START = 1_613_343_600
RULES = Rules(slot_seconds=STEP, unit_w=1, most_wh=25_000, end=START + 2000 * STEP)
HEAD = "timestamp,electricity"


def slots(count: int) -> list[int]:
    return [START + n * STEP for n in range(count)]


def read(*rows: str, head: str = HEAD, rules: Rules = RULES) -> Profile:
    return read_profile("x.csv", "\n".join((head, *rows)).encode(), rules)


def table(values: list[str]) -> list[str]:
    return [f"{slot},{value}" for slot, value in zip(slots(len(values)), values, strict=True)]


def named(profile: Profile) -> list[tuple[int, str, str]]:
    return [(problem.line, problem.field, problem.rule) for problem in profile.problems]


def test_energy_is_the_difference_of_the_rounded_running_sum() -> None:
    profile = read(*table(["2", "2", "2", "2", "1", "1", "3.999999999999999999", "4"]))
    assert list(profile.energy.values()) == [1, 0, 1, 0, 0, 1, 0, 1]
    assert list(profile.energy) == slots(8)
    assert not profile.problems


def test_decimals_are_exact_where_floating_point_is_not() -> None:
    # 20 times 0.1 W for a quarter of an hour are half a Wh, which rounds up; twenty floats make a little less or more.
    assert sum(read(*table(["0.1"] * 20)).energy.values()) == 1
    assert sum(read(*table(["0.1"] * 19 + ["0.0999999999999999999"])).energy.values()) == 0


def test_shares_of_installed_power() -> None:
    rules = Rules(STEP, unit_w=10_000, most_wh=3750, end=RULES.end)
    values = ["0.0056644880174291", "0.5", "1.5", "1e-3", ".25", "0", "1."]
    profile = read(*table(values), rules=rules)
    exact = sum(Fraction(value) for value in values) * 10_000 / 4
    assert abs(sum(profile.energy.values()) - exact) <= Fraction(1, 2)
    assert not profile.problems


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content + b"\n\n",
        lambda content: content.replace(b",", b" , "),
        lambda content: content.replace(b"electricity", b'"electricity"'),
        lambda content: content.replace(b"600,", b"600.0,"),
    ],
    ids=["crlf", "byte order mark", "blank lines", "spaces", "quotes", "decimal point in time"],
)
def test_other_ways_to_write_the_same(change) -> None:  # type: ignore[no-untyped-def]
    content = "\n".join((HEAD, *table(["4", "8", "12"]))).encode()
    profile = read_profile("x.csv", change(content), RULES)
    assert list(profile.energy.values()) == [1, 2, 3]
    assert not profile.problems


def test_columns_may_stand_in_any_order_beside_others() -> None:
    profile = read(f"8,x,{START}", head="electricity,remark,timestamp")
    assert profile.energy == {START: 2}


@pytest.mark.parametrize(
    ("row", "field", "rule"),
    [
        ("{slot},abc", "electricity", "not_a_number"),
        ("{slot},", "electricity", "not_a_number"),
        ("{slot},1 000", "electricity", "not_a_number"),
        ("{slot},.", "electricity", "not_a_number"),
        ("{slot},0x10", "electricity", "not_a_number"),
        ("{slot},1_000", "electricity", "not_a_number"),
        ("{slot},١٢", "electricity", "not_a_number"),
        ("{slot},1e999", "electricity", "not_a_number"),
        ("{slot}," + "9" * 60, "electricity", "not_a_number"),
        ("{slot},NaN", "electricity", "not_finite"),
        ("{slot},-inf", "electricity", "not_finite"),
        ("{slot},-0.0001", "electricity", "negative"),
        ("{slot},100000.0001", "electricity", "implausible_energy"),
        ("{slot},1e40", "electricity", "implausible_energy"),
        ("{slot}", "timestamp", "wrong_columns"),
        ("{slot},1,2", "timestamp", "wrong_columns"),
        ('{slot},"1', "timestamp", "not_csv"),
        ("2021-02-15 00:15,1", "timestamp", "not_a_number"),
        ("{slot}.5,1", "timestamp", "off_the_grid"),
        ("1613344501,1", "timestamp", "off_the_grid"),
        ("-900,1", "timestamp", "negative"),
        ("4102444800,1", "timestamp", "in_the_future"),
    ],
)
def test_a_bad_row_is_named_with_its_field_and_rule(row: str, field: str, rule: str) -> None:
    rows = table(["4", "8", "8"])
    rows[1] = row.format(slot=START + STEP)
    profile = read(*rows)
    assert named(profile) == [(3, field, rule)]
    assert profile.energy == {START: 1, START + 2 * STEP: 2}


def test_what_is_possible_at_the_limit_is_taken() -> None:
    assert list(read(*table(["100000", "-0.0"])).energy.values()) == [25_000, 0]


def test_text_in_another_encoding_is_named_where_it_stands() -> None:
    content = "\n".join((HEAD, *table(["4", "8"]))).encode() + b"\xe4"
    assert named(read_profile("x.csv", content, RULES)) == [(3, "timestamp", "not_utf8")]
    content = "\n".join((HEAD, *table(["4", "8"]))).encode("utf-16")
    profile = read_profile("x.csv", content, RULES)
    assert named(profile) == [(1, "timestamp", "not_utf8")]
    assert not profile.energy


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "empty"),
        (b"\n\r\n", "empty"),
        (b"timestamp,electricity\n", "empty"),
        (b"time,electricity\n1613343600,1\n", "wrong_columns"),
        (b"timestamp;electricity\n1613343600;1\n", "wrong_columns"),
        (b"timestamp,electricity,electricity\n1613343600,1,2\n", "wrong_columns"),
        (b"1613343600,1\n", "wrong_columns"),
    ],
)
def test_a_file_without_a_profile(content: bytes, rule: str) -> None:
    profile = read_profile("x.csv", content, RULES)
    assert [problem.rule for problem in profile.problems] == [rule]
    assert not profile.energy


def test_a_gap_is_named_and_ends_the_running_sum() -> None:
    rows = table(["2", "2", "2", "2"])
    profile = read(rows[0], rows[3])
    assert named(profile) == [(3, "timestamp", "gap")]
    assert "2 slots" in profile.problems[0].message
    assert list(profile.energy.values()) == [1, 1]


def test_a_bad_row_is_no_gap_and_no_energy_is_made_up_around_it() -> None:
    rows = table(["2", "2", "bad", "2", "2"])
    rows[3] = "soon,2"
    profile = read(*rows)
    assert named(profile) == [(4, "electricity", "not_a_number"), (5, "timestamp", "not_a_number")]
    assert list(profile.energy.values()) == [1, 0, 1]


def test_a_slot_twice() -> None:
    rows = table(["4", "8", "12", "16"])
    profile = read(*rows[:2], f"{START + STEP},8.0", *rows[2:])
    assert named(profile) == [(4, "timestamp", "duplicate")]
    assert list(profile.energy.values()) == [1, 2, 3, 4]
    profile = read(*rows[:2], f"{START + STEP},9", *rows[2:])
    assert named(profile) == [(4, "timestamp", "duplicate")]
    assert "neither" in profile.problems[0].message
    assert list(profile.energy.values()) == [1, 3, 4]


@pytest.mark.parametrize("wrong", [START + 1000 * STEP, START - 1000 * STEP], ids=["late", "early"])
def test_one_wrong_time_makes_one_row_wrong(wrong: int) -> None:
    rows = table(["4"] * 20)
    rows[10] = f"{wrong},4"
    profile = read(*rows)
    assert named(profile) == [(12, "timestamp", "not_ascending")]
    assert list(profile.energy) == [slot for slot in slots(20) if slot != START + 10 * STEP]


def test_rows_that_changed_places() -> None:
    rows = table(["4", "8", "12", "16", "20"])
    rows[1], rows[2] = rows[2], rows[1]
    assert named(read(*rows)) == [(3, "timestamp", "not_ascending")]
    assert len(read(*reversed(rows)).problems) == 3


def test_three_bad_rows_in_a_thousand_are_all_named() -> None:
    rows = table(["100"] * 1000)
    rows[4] = rows[4].replace(",100", ",-100")
    rows[499] = rows[499].replace(",100", ",n/a")
    rows[998] = "1614240001,100"
    profile = read(*rows)
    assert named(profile) == [
        (6, "electricity", "negative"),
        (501, "electricity", "not_a_number"),
        (1000, "timestamp", "off_the_grid"),
    ]
    assert len(profile.energy) == 997
    assert str(profile.problems[1]) == 'x.csv, line 501, electricity: "n/a" is not a number. [not_a_number]'

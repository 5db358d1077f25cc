"""MSCONS: what is read, and every fault of an interchange by the number of its segment."""

from hypothesis import given
from hypothesis import strategies as st

from apps.metering.formats.base import TICKS, Content
from apps.metering.formats.edifact import segments_of
from apps.metering.formats.mscons import read_mscons
from apps.metering.formats.slots import slots_of
from evidence.readings import Quality, Register
from tests.metering.files import Value, day_of_quarters, escaped, interchange, message

START = 1_622_505_600  # 2021-06-01 00:00 UTC
POINT = "DE0001234567890123456789012345678"
IMPORT = "1-1:1.29.0"

# Written by hand, after the fields of the message description.
BY_HAND = (
    b"UNA:+,? '"
    b"UNB+UNOC:3+4399901876543:14+9903100000006:500+210602:0815+A1B2C3'"
    b"UNH+M1+MSCONS:D:04B:UN:2.4a'BGM+7+EM0001+9'DTM+137:202106020815?+00:303'RFF+Z13:13015'"
    b"NAD+MS+4399901876543::9'NAD+MR+9903100000006::293'UNS+D'NAD+DP'"
    b"LOC+172+51238696781'DTM+163:202106010000?+02:303'DTM+164:202106010030?+02:303'"
    b"RFF+MG:1EMH0004711'LIN+1'PIA+5+1-1?:2.29.0:SRW'"
    b"QTY+220:1,5:KWH'DTM+163:202106010000?+02:303'DTM+164:202106010015?+02:303'"
    b"QTY+67:0,0005:KWH'DTM+163:202106010015?+02:303'DTM+164:202106010030?+02:303'STS+Z34++Z81'"
    b"UNT+22+M1'UNZ+1+A1B2C3'"
)


def named(content: Content) -> list[tuple[int, str, str]]:
    return [(problem.line, problem.field, problem.rule) for problem in content.problems]


def test_a_message_by_hand() -> None:
    found = read_mscons("x", BY_HAND)
    assert (named(found), found.reference) == ([], "4399901876543/A1B2C3")
    (key,) = found.samples
    assert key == ("51238696781", Register.GRID_EXPORT)
    first, second = found.samples[key]
    assert (first.start, first.seconds, first.ticks, first.quality) == (START - 7200, 900, 1500 * TICKS, 1)
    assert (second.start, second.ticks * 2, second.quality) == (START - 6300, TICKS, Quality.SUBSTITUTE)
    assert (first.line, second.line) == (16, 19)


def test_the_days_on_which_clocks_change() -> None:
    for start, count in ((1_616_886_000, 92), (1_635_631_200, 100)):
        values = [Value(slot, f"0.{n + 1:03}") for n, slot in enumerate(day_of_quarters(start, count))]
        found = read_mscons("x", interchange(message(1, POINT, IMPORT, values, hours=2)))
        assert named(found) == []
        slots = slots_of(found.samples[POINT, Register.GRID_IMPORT], 900).values
        assert [value.value for value in slots.values()] == list(range(1, count + 1))
        assert list(slots) == day_of_quarters(start, count)


def test_several_messages_of_one_interchange() -> None:
    values = [Value(START, "1")]
    found = read_mscons("x", interchange(*(message(n, f"P{n}", IMPORT, values) for n in range(1, 4))))
    assert [point for point, _register in found.samples] == ["P1", "P2", "P3"]


def test_what_is_not_for_use_is_counted_not_taken() -> None:
    values = [Value(START, "1", "20"), Value(START + 900, "1", "201"), Value(START + 1800, "1")]
    found = read_mscons("x", interchange(message(1, POINT, IMPORT, values)))
    assert (named(found), dict(found.skipped)) == ([], {"QTY+20": 1, "QTY+201": 1})
    assert len(found.samples[POINT, Register.GRID_IMPORT]) == 1


def test_what_a_value_can_lack() -> None:
    good = interchange(message(1, POINT, IMPORT, [Value(START, "1")])).decode()
    for old, new, problem in [
        ("QTY+220", "QTY+187", (15, "QTY", "unknown_quality")),
        ("1:KWH", "x:KWH", (15, "QTY", "not_a_number")),
        ("1:KWH", "-1:KWH", (15, "QTY", "negative")),
        ("1:KWH", "1:K3", (15, "QTY", "other_unit")),
        ("LOC+172", "LOC+237", (15, "LOC", "no_point")),
        ("PIA+5", "IMD+5", (15, "PIA", "no_register")),
        ("1-1?:1.29.0", "1-1?:1.8.1", (14, "PIA", "unknown_register")),
        ("164:202106010015?+00:303'\nUNT", "164:202105310015?+00:303'\nUNT", (15, "DTM", "no_period")),
        ("164:202106010015?+00:303'\nUNT", "164:202106310015?+00:303'\nUNT", (17, "DTM", "no_time")),
        ("164:202106010015?+00:303'\nUNT", "164:202106010015:203'\nUNT", (17, "DTM", "no_time")),
    ]:
        changed = good.replace(old, new)
        assert changed != good
        assert problem in named(read_mscons("x", changed.encode())), (old, new)
        assert not read_mscons("x", changed.encode()).is_broken


def test_an_interchange_that_is_not_whole() -> None:
    good = interchange(message(1, POINT, IMPORT, [Value(START, "1")])).decode()
    for old, new, problem in [
        ("UNT+17+1", "UNT+16+1", (18, "segment 18", "wrong_count")),
        ("UNT+17+1", "UNT+17+2", (18, "segment 18", "wrong_count")),
        ("UNZ+1+", "UNZ+2+", (19, "segment 19", "wrong_count")),
        ("UNZ+1+REF1", "UNZ+1+REF2", (19, "segment 19", "wrong_count")),
        ("UNZ+1+REF1'", "", (19, "segment 19", "cut_off")),
        ("UNZ+1+REF1'", "UNZ+1+REF1", (18, "segment 19", "cut_off")),
        ("2.4c", "2.2e", (2, "segment 2", "unknown_message")),
        ("MSCONS", "UTILMD", (2, "segment 2", "unknown_message")),
        ("UNB+UNOC:3+9900000000001", "UNB+UNOC:3+", (1, "segment 1", "no_reference")),
        ("UNS+D", "uns+D", (7, "segment 8", "no_edifact")),
        ("UNA:+.? '", "UNA:::? '", (0, "UNA", "no_edifact")),
    ]:
        changed = good.replace(old, new)
        assert changed != good
        found = read_mscons("x", changed.encode())
        assert (found.is_broken, found.samples, named(found)[0]) == (True, {}, problem), (old, new)


def test_what_is_no_edifact_at_all() -> None:
    for content in (b"", b"hello", b"\x00" * 1000, b"UNA", b"'" * 100_000, b"?" * 100_000, b"UNB+" + b"a" * 100_000):
        assert read_mscons("x", content).is_broken


def test_service_characters_and_released_ones() -> None:
    (segment,) = segments_of("UNA*;.! ~ABC;a*b!;c;!!;!~~")
    assert segment.elements == (("a", "b;c"), ("!",), ("~",))
    (segment,) = segments_of("FTX+AAI+++Stra?+e?:1??'\r\n")
    assert (segment.get(3), segment.get(1), segment.get(9, 9)) == ("Stra+e:1?", "", "")


TEXT = st.text(st.sampled_from("AB1 ?+:'.\u00fc"), min_size=1, max_size=12).filter(lambda text: text.strip() == text)
VALUES = st.lists(st.tuples(st.integers(0, 10**9), st.booleans()), min_size=1, max_size=20)


@given(st.dictionaries(TEXT, VALUES, min_size=1, max_size=4), st.integers(0, 2))
def test_what_is_written_is_read(points: dict[str, list[tuple[int, bool]]], hours: int) -> None:
    """`tests.metering.files` writes, knowing nothing of the reader."""
    messages = [
        message(
            number,
            point,
            IMPORT,
            [
                Value(START + n * 900, f"{milli // 10**6}.{milli % 10**6:06}", "220" if true else "67")
                for n, (milli, true) in enumerate(values)
            ],
            hours=hours,
        )
        for number, (point, values) in enumerate(points.items(), 1)
    ]
    found = read_mscons("x", interchange(*messages))
    assert named(found) == []
    assert {point: [(s.ticks * 1000 // TICKS, s.quality == Quality.TRUE_VALUE, s.start) for s in samples]
            for (point, _register), samples in found.samples.items()} == {
        point: [(milli, true, START + n * 900) for n, (milli, true) in enumerate(values)]
        for point, values in points.items()
    }  # fmt: skip


@given(TEXT)
def test_what_is_escaped_is_read(text: str) -> None:
    (segment,) = segments_of(f"FTX+{escaped(text)}'")
    assert segment.elements == ((text,),)

"""`import_profiles`: all or nothing, the same again, corrections, and what a meter signed."""

import datetime as dt
from io import StringIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.choices import KeyCustody
from apps.metering import readings
from apps.metering.choices import Grade, SourceKey, Use
from apps.metering.models import Batch, PointSource, ReadingImport
from apps.metering.services.imports import store_substitutes
from evidence.readings import Register
from market_math.slots import day_slots
from tests.market import SINCE, Market, make_market

pytestmark = pytest.mark.django_db
DAY = dt.date(2021, 3, 28)  # 92 slots
SLOTS = day_slots(DAY, ZoneInfo("Europe/Berlin"), 15)


@pytest.fixture
def market() -> Market:
    return make_market({"alice": 10_000, "bob": 0})


@pytest.fixture
def house(tmp_path: Path) -> Path:
    return write(tmp_path / "house.csv", ["400"] * 100)


def write(path: Path, values: list[str], start: int = SLOTS.start) -> Path:
    rows = [f"{start + n * 900},{value}" for n, value in enumerate(values)]
    path.write_text("\n".join(["timestamp,electricity", *rows]) + "\n")
    return path


def run(*arguments: str, **options: object) -> str:
    out = StringIO()
    call_command("import_profiles", *arguments, **{"area": "Area", "stdout": out, "stderr": out, **options})
    return out.getvalue()


def refused(*arguments: str, **options: object) -> str:
    """All that is said about an import that stores nothing."""
    before = Batch.objects.count()
    out = StringIO()
    with pytest.raises(CommandError) as refusal:
        call_command("import_profiles", *arguments, **{"area": "Area", "stdout": out, "stderr": out, **options})
    assert Batch.objects.count() == before
    return f"{out.getvalue()}{refusal.value}"


def stored(market: Market, name: str, register: int = Register.CONSUMPTION) -> list[int]:
    found = readings.latest(market.area.pk, [market.points[name].pk], SLOTS.start, SLOTS.stop + 86_400)
    return [reading.value for reading in found if reading.register == register]


def test_the_utility_signs_a_batch_per_local_day(market: Market, house: Path) -> None:
    said = run(f"{house}=bob-1:consumption")
    assert stored(market, "bob") == [100] * 100
    assert "Stored 100 readings of 1 metering points in 2 batches" in said
    batches = Batch.objects.order_by("day")
    assert [(b.day, b.count, b.grade) for b in batches] == [
        (DAY, 92, Grade.OPERATOR_SIGNED),
        (DAY + dt.timedelta(days=1), 8, Grade.OPERATOR_SIGNED),
    ]
    key = market.utility.keys.get()
    for batch in batches:
        assert batch.importer == market.utility
        assert key.public_key.verifies(batch.statement.digest, bytes(batch.signature))


def test_power_in_watts_kilowatts_and_shares(market: Market, tmp_path: Path) -> None:
    write(tmp_path / "roof.csv", ["0.5", "0.00004", "0.00004"])
    write(tmp_path / "house.csv", ["0.4", "0.002"])
    (tmp_path / "map.csv").write_text(
        "file,point,register,unit\nroof.csv,alice-1,generation,share\nhouse.csv,bob-1,consumption,kW\n"
    )
    run(map=tmp_path / "map.csv")
    assert stored(market, "alice", Register.GENERATION) == [1250, 0, 0]
    assert stored(market, "bob") == [100, 1]


def test_the_same_import_again_stores_nothing(market: Market, house: Path) -> None:
    run(f"{house}=bob-1:consumption")
    assert "Stored 0 readings of 1 metering points in 0 batches" in (said := run(f"{house}=bob-1:consumption"))
    assert "100 were there already" in said
    assert Batch.objects.count() == 2


def test_another_value_becomes_a_new_version(market: Market, house: Path) -> None:
    run(f"{house}=bob-1:consumption")
    write(house, ["400"] * 5 + ["404", "396"] + ["400"] * 95)
    said = run(f"{house}=bob-1:consumption")
    assert "Stored 4 readings of 1 metering points in 2 batches, 2 of them as new versions; 98 were there" in said
    assert stored(market, "bob") == [100] * 5 + [101, 99] + [100] * 95


def test_a_substitute_gives_way_even_to_the_same_value(market: Market, house: Path) -> None:
    store_substitutes(market.area, market.utility, {market.points["bob"]: {Register.CONSUMPTION: {SLOTS.start: 100}}})
    assert "1 of them as new versions; 0 were there already" in run(f"{house}=bob-1:consumption")


def test_what_a_meter_signed_is_not_replaced(market: Market, house: Path) -> None:
    run(f"{house}=bob-1:consumption")
    Batch.objects.update(grade=Grade.DEVICE_SIGNED)
    assert "100 were there already" in run(f"{house}=bob-1:consumption")
    write(house, ["400"] * 3 + ["404"])
    said = refused(f"{house}=bob-1:consumption")
    assert "house.csv, line 5, electricity: " in said and "[signed_by_meter]" in said


def test_three_bad_rows_in_a_thousand_are_named_and_nothing_is_stored(
    market: Market, house: Path, tmp_path: Path
) -> None:
    values = ["400"] * 1000
    values[10], values[500], values[998] = "-1", "NaN", "1e9"
    broken = write(tmp_path / "broken.csv", values)
    arguments = f"{house}=alice-1:consumption", f"{broken}=bob-1:consumption"
    said = refused(*arguments)
    for line, rule in ((12, "negative"), (502, "not_finite"), (1000, "implausible_energy")):
        assert f"broken.csv, line {line}, electricity: " in said and f"[{rule}]" in said
    assert "Nothing was stored: 3 problems" in said
    said = run(*arguments, keep_good=True)
    assert "Stored 1097 readings of 2 metering points in 13 batches" in said and "3 problems left out" in said
    assert stored(market, "alice") == [100] * 100


def test_no_good_row_is_no_import(market: Market, tmp_path: Path) -> None:
    assert "no good row" in refused(f"{write(tmp_path / 'x.csv', ['x'])}=bob-1:consumption", keep_good=True)


def test_what_is_wrong_everywhere_is_counted_not_listed(market: Market, tmp_path: Path) -> None:
    said = refused(f"{write(tmp_path / 'x.csv', ['x'] * 60 + ['-1'] * 900)}=bob-1:consumption")
    assert said.count("[") == 50
    assert "and 910 more: 10 not_a_number, 900 negative" in said


def test_days_without_an_occupant(market: Market, tmp_path: Path) -> None:
    start = day_slots(SINCE - dt.timedelta(days=1), market.area.zone, 15).start
    early = write(tmp_path / "early.csv", ["400"] * 97, start)
    said = refused(f"{early}=bob-1:consumption")
    assert "line 2, timestamp: Nobody occupied bob-1 on 2019-12-31" in said
    assert "Nothing was stored: 96 problems" in said
    assert "Stored 1 readings" in run(f"{early}=bob-1:consumption", keep_good=True)


def test_a_dry_run_stores_nothing(market: Market, house: Path) -> None:
    assert "Nothing was stored (dry run)." in run(f"{house}=bob-1:consumption", dry_run=True)
    assert not Batch.objects.exists()


def test_what_is_asked_for_must_make_sense(market: Market, house: Path, tmp_path: Path) -> None:
    for arguments, complaint in [
        ([], "at least one profile"),
        (["x.csv"], "is not FILE=CODE:REGISTER[:UNIT]"),
        ([f"{house}=bob-1:export"], "is not FILE=CODE:REGISTER[:UNIT]"),
        ([f"{house}=bob-1:consumption:MW"], "the unit is one of W, kW, share"),
        ([f"{house}=carol-1:consumption"], "no metering point 'carol-1' in Area"),
        ([f"{house}=bob-1:generation"], "bob-1 has no plant. [no_plant]"),
        ([f"{house}=bob-1:consumption:share"], "bob-1 has no plant. [no_plant]"),
        ([f"{house}=bob-1:consumption"] * 2, "was named before"),
        ([f"{tmp_path / 'none.csv'}=bob-1:consumption"], "none.csv: No such file"),
    ]:
        assert complaint in refused(*arguments)
    assert "No such file" in refused(map=tmp_path / "none.csv")
    assert "must name the columns file,point,register,unit" in refused(map=house)
    said = refused(f"{house}=bob-1:consumption", area="Elsewhere")
    assert "no market area 'Elsewhere'. There are: Area" in said


def test_an_area_is_found_by_its_id(market: Market, house: Path) -> None:
    run(f"{house}=bob-1:consumption", area=str(market.area.pk))
    assert stored(market, "bob") == [100] * 100


def test_a_point_that_takes_no_profiles_or_only_to_inform(market: Market, house: Path) -> None:
    told = PointSource.objects.create(point=market.points["bob"], source=SourceKey.PROFILE, use=Use.REFUSED)
    assert "[source_refused]" in refused(f"{house}=bob-1:consumption")
    PointSource.objects.filter(pk=told.pk).update(use=Use.INFORMATIVE)
    assert "Stored 100 readings" in run(f"{house}=bob-1:consumption")
    assert "100 were there already" in run(f"{house}=bob-1:consumption")
    assert stored(market, "bob") == []


def test_the_history_names_what_was_imported(market: Market, house: Path) -> None:
    run(f"{house}=bob-1:consumption")
    delivery = ReadingImport.objects.get()
    assert (delivery.source, delivery.name, delivery.stored) == (SourceKey.PROFILE, "house.csv", 100)
    assert {batch.brought_by for batch in Batch.objects.all()} == {delivery}


def test_a_utility_that_keeps_its_own_key_cannot_import_here(market: Market, house: Path) -> None:
    market.utility.keys.update(custody=KeyCustody.OWN)
    assert "Utility has no key here" in refused(f"{house}=bob-1:consumption")

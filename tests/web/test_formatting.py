from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation

from apps.web import formatting
from market_math.money import MINOR_DIGITS, to_minor

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("wh", "language", "expected"),
    [
        (12_400, "en", "12.4\u00a0kWh"),
        (12_400, "de", "12,4\u00a0kWh"),
        (12_400, "es", "12,4\u00a0kWh"),
        (0, "en", "0\u00a0kWh"),
        (7_000, "en", "7\u00a0kWh"),
        (1_234_567_890, "en", "1,234,567.89\u00a0kWh"),
        (1_234_567_890, "de", "1.234.567,89\u00a0kWh"),
        (1_234_567_890, "es", "1.234.567,89\u00a0kWh"),
    ],
)
def test_kwh_is_localised_with_at_most_two_decimals(wh: int, language: str, expected: str) -> None:
    assert formatting.kwh(wh, language=language) == expected


@pytest.mark.parametrize(
    ("wh", "expected"),
    [
        (1_004, "1"),
        (1_005, "1.01"),
        (1_015, "1.02"),
        (-1_005, "\u22121.01"),
        (-1_004, "\u22121"),
        (-4, "0"),
        (-5, "\u22120.01"),
    ],
)
def test_kwh_rounds_half_away_from_zero_and_never_shows_minus_zero(wh: int, expected: str) -> None:
    assert formatting.kwh_number(wh, language="en") == expected


def test_fixed_kwh_keeps_both_decimals_for_columns() -> None:
    assert formatting.kwh_number(7_100, fixed=True, language="de") == "7,10"
    assert formatting.kwh(7_000, fixed=True, language="en") == "7.00\u00a0kWh"


@pytest.mark.parametrize(
    ("currency", "language", "expected"),
    [
        ("EUR", "en", "€1,234.56"),
        ("EUR", "de", "1.234,56\u00a0€"),
        ("EUR", "es", "1.234,56\u00a0€"),
        ("USD", "de", "1.234,56\u00a0$"),
        ("CHF", "en", "CHF\u00a01,234.56"),
        ("CHF", "de", "1.234,56\u00a0CHF"),
        ("GBP", "en", "£1,234.56"),
        ("GBP", "es", "1.234,56\u00a0£"),
        ("MXN", "es", "$\u00a01.234,56"),
    ],
)
def test_money_stands_as_is_usual_in_the_language(currency: str, language: str, expected: str) -> None:
    assert formatting.money(1_234_560_000_000, currency, language=language) == expected
    assert formatting.money_minor(123_456, currency, language=language) == expected


def test_pesos_have_no_cents_on_pages_and_keep_them_in_documents() -> None:
    assert formatting.money(1_234_560_000_000, "COP", language="es") == "$\u00a01.235"
    assert formatting.money(1_234_560_000_000, "COP", language="en") == "$1,235"
    assert formatting.money_minor(123_456, "COP", language="es") == "$\u00a01.234,56"


def test_a_currency_without_cents_is_rounded_to_whole_ones() -> None:
    assert formatting.money(1_234_500_000_000, "CLP", language="es") == "$\u00a01.235"
    assert formatting.money(-499_999_999, "CLP", language="en") == "$0"
    assert formatting.money_minor(-1_235, "CLP", language="en") == "\u2212$1,235"


@pytest.mark.parametrize("currency", MINOR_DIGITS)
@pytest.mark.parametrize("language", ["en", "de", "es"])
def test_every_currency_of_a_market_area_can_be_written(currency: str, language: str) -> None:
    minor = to_minor(1_234_560_000_000, currency)
    assert formatting.SIGNS[currency] in formatting.money(1_234_560_000_000, currency, language=language)
    written = formatting.money_minor(minor, currency, language=language)
    assert int("".join(filter(str.isdigit, written))) == minor
    assert formatting.unit_price(285_000, currency, language=language).endswith("/kWh")


@pytest.mark.parametrize(
    ("nano", "expected"),
    [
        (4_999_999, "€0.00"),
        (5_000_000, "€0.01"),
        (-4_999_999, "€0.00"),
        (-5_000_000, "\u2212€0.01"),
        (15_000_000, "€0.02"),
        (25_000_000, "€0.03"),
    ],
)
def test_money_rounds_half_away_from_zero(nano: int, expected: str) -> None:
    assert formatting.money(nano, "EUR", language="en") == expected


def test_negative_money_in_german_and_spanish() -> None:
    assert formatting.money_minor(-500, "EUR", language="de") == "\u22125,00\u00a0€"
    assert formatting.money_minor(-500, "EUR", language="es") == "\u22125,00\u00a0€"
    assert formatting.money_minor(-500, "COP", language="es") == "\u2212$\u00a05,00"


def test_the_largest_ledger_amount_is_exact() -> None:
    assert formatting.money(2**128 - 1, "EUR", language="en") == "€340,282,366,920,938,463,463,374,607,431.77"


def test_an_unknown_currency_is_refused() -> None:
    with pytest.raises(KeyError):
        formatting.money(1, "XXX")


@pytest.mark.parametrize(
    ("micro", "currency", "country", "language", "expected"),
    [
        (285_000, "EUR", None, "en", "28.50\u00a0ct/kWh"),
        (285_000, "EUR", "DE", "de", "28,50\u00a0ct/kWh"),
        (285_000, "EUR", None, "es", "28,50\u00a0c€/kWh"),
        (285_000, "EUR", "ES", "en", "28.50\u00a0c€/kWh"),
        (123_456, "EUR", None, "de", "12,3456\u00a0ct/kWh"),
        (-10_000, "EUR", None, "en", "\u22121.00\u00a0ct/kWh"),
        (812_350_000, "COP", "CO", "es", "812,35\u00a0$/kWh"),
        (123_456, "USD", None, "en", "0.123456\u00a0$/kWh"),
    ],
)
def test_unit_price_is_exact_and_in_the_usual_unit(
    micro: int, currency: str, country: str | None, language: str, expected: str
) -> None:
    assert formatting.unit_price(micro, currency, country, language=language) == expected


@pytest.mark.parametrize(
    ("ppm", "language", "expected"),
    [
        (1_000_000, "en", "100%"),
        (253_400, "de", "25,34\u00a0%"),
        (333_333, "es", "33,33\u00a0%"),
        (50, "en", "0.01%"),
        (-50, "en", "\u22120.01%"),
    ],
)
def test_percent(ppm: int, language: str, expected: str) -> None:
    assert formatting.percent(ppm, language=language) == expected


def test_the_language_of_the_request_is_the_default() -> None:
    with translation.override("de"):
        assert formatting.kwh(1_500) == "1,5\u00a0kWh"
    with translation.override("es-co"):
        assert formatting.kwh(1_500) == "1,5\u00a0kWh"


@pytest.mark.parametrize(
    ("language", "expected"), [("en", "1 March 2021"), ("de", "1. März 2021"), ("es", "1 de marzo de 2021")]
)
def test_local_date(language: str, expected: str) -> None:
    assert formatting.local_date(date(2021, 3, 1), language=language) == expected
    late_in_utc = datetime(2021, 2, 28, 23, 30, tzinfo=UTC)
    assert formatting.local_date(late_in_utc, BERLIN, language=language) == expected


def test_slots_read_in_local_time() -> None:
    start = datetime(2021, 3, 15, 13, 0, tzinfo=UTC)
    assert formatting.slot_range(start, start + timedelta(minutes=15), BERLIN) == "14:00\u201314:15"
    assert formatting.local_datetime(start, BERLIN, language="en") == "15 March 2021, 14:00"


def test_the_last_slot_of_a_day_ends_at_24() -> None:
    start = datetime(2021, 3, 15, 22, 45, tzinfo=UTC)
    assert formatting.slot_range(start, start + timedelta(minutes=15), BERLIN) == "23:45\u201324:00"


def test_the_hour_that_comes_twice_names_its_offset() -> None:
    first = datetime(2021, 10, 31, 0, 45, tzinfo=UTC)
    assert formatting.slot_range(first, first + timedelta(minutes=15), BERLIN) == "02:45 CEST\u201302:00 CET"
    last = datetime(2021, 10, 31, 1, 45, tzinfo=UTC)
    assert formatting.slot_range(last, last + timedelta(minutes=15), BERLIN) == "02:45 CET\u201303:00"


def test_the_hour_that_is_skipped_is_not_shown() -> None:
    start = datetime(2021, 3, 28, 0, 45, tzinfo=UTC)
    assert formatting.slot_range(start, start + timedelta(minutes=15), BERLIN) == "01:45\u201303:00"


def test_instants_without_zone_are_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        formatting.local_time(datetime(2021, 3, 1), BERLIN)  # noqa: DTZ001
    with pytest.raises(ValueError, match="time zone"):
        formatting.local_date(datetime(2021, 3, 1, tzinfo=UTC))


def test_a_slot_that_ends_before_it_starts_is_refused() -> None:
    start = datetime(2021, 3, 15, 13, 0, tzinfo=UTC)
    with pytest.raises(ValueError, match="before"):
        formatting.slot_range(start, start, BERLIN)

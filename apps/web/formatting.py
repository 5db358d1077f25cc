"""Numbers, money and instants as people read them: integers in, exact decimal arithmetic, localised text out.

Every function takes the language as an option; without it the language of the current request is used. Numbers and
their units are held together by a no-break space, negative numbers carry the true minus sign (U+2212).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from zoneinfo import ZoneInfo

from django.utils import formats, translation

from market_math.money import MINOR_DIGITS

NBSP = "\u00a0"
MINUS = "\u2212"
EN_DASH = "\u2013"

# Wide enough for a u128 ledger amount with its fraction; the default of 28 digits would round silently.
EXACT = Context(prec=60, rounding=ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class Separators:
    decimal: str
    thousands: str


SEPARATORS = {"en": Separators(".", ","), "de": Separators(",", "."), "es": Separators(",", ".")}

# The sign used on pages for every currency in which a market area can settle.
SIGNS = {"EUR": "€", "CHF": "CHF", "USD": "$", "GBP": "£", "COP": "$", "MXN": "$", "CLP": "$"}
# Digits shown on pages where they differ from the minor unit: nobody writes or pays hundredths of a peso in Colombia.
# Documents keep them, because their sums are exact.
PAGE_DIGITS = MINOR_DIGITS | {"COP": 0}


def active_language(language: str | None = None) -> str:
    """The two-letter language to write numbers in: the one given, else the request's, else English."""
    code = (language or translation.get_language() or "en").split("-")[0].lower()
    return code if code in SEPARATORS else "en"


def decimal_text(value: Decimal, *, least: int = 0, most: int, language: str | None = None) -> str:
    """`value` with between `least` and `most` decimals, rounded half away from zero, grouped by thousands."""
    rounded = value.quantize(Decimal(1).scaleb(-most), context=EXACT)
    whole, _, fraction = f"{rounded.copy_abs():f}".partition(".")
    fraction = fraction.rstrip("0").ljust(least, "0") if len(fraction) > least else fraction
    separators = SEPARATORS[active_language(language)]
    text = f"{int(whole):,}".replace(",", separators.thousands)
    if fraction:
        text = f"{text}{separators.decimal}{fraction}"
    return f"{MINUS}{text}" if rounded < 0 else text


def kwh_number(wh: int, *, fixed: bool = False, language: str | None = None) -> str:
    """Wh as a number of kWh without its unit; `fixed` keeps both decimals, so that a column lines up."""
    return decimal_text(Decimal(wh).scaleb(-3, context=EXACT), least=2 if fixed else 0, most=2, language=language)


def kwh(wh: int, *, fixed: bool = False, language: str | None = None) -> str:
    """Wh as kWh with at most two decimals: 12400 is "12.4 kWh"."""
    return f"{kwh_number(wh, fixed=fixed, language=language)}{NBSP}kWh"


def kw_number(watt: int, *, fixed: bool = False, language: str | None = None) -> str:
    """W as a number of kW without its unit, as `kwh_number`."""
    return kwh_number(watt, fixed=fixed, language=language)


def kw(watt: int, *, language: str | None = None) -> str:
    """W as kW with two decimals: 840 is "0.84 kW"."""
    return f"{kw_number(watt, fixed=True, language=language)}{NBSP}kW"


def money(nano: int, currency: str, *, language: str | None = None) -> str:
    """Nano-currency as pages show it, rounded half away from zero: 86420000000 EUR is "€86.42". KeyError if unknown."""
    return _amount(Decimal(nano).scaleb(-9, context=EXACT), PAGE_DIGITS[currency], currency, language)


def money_minor(minor: int, currency: str, *, language: str | None = None) -> str:
    """An amount that is already in minor units, as on an invoice line: 8642 EUR is "€86.42". KeyError if unknown."""
    digits = MINOR_DIGITS[currency]
    return _amount(Decimal(minor).scaleb(-digits, context=EXACT), digits, currency, language)


def _amount(value: Decimal, digits: int, currency: str, language: str | None) -> str:
    number = decimal_text(value, least=digits, most=digits, language=language)
    sign = SIGNS[currency]
    match active_language(language):
        case "de":
            return f"{number}{NBSP}{sign}"
        case "es" if sign != "$":
            return f"{number}{NBSP}{sign}"
        case "es":
            return _before(f"{sign}{NBSP}", number)
        case _:
            return _before(f"{sign}{NBSP}" if sign.isalpha() else sign, number)


def _before(sign: str, number: str) -> str:
    """The sign before the digits but after the minus."""
    return f"{MINUS}{sign}{number[1:]}" if number.startswith(MINUS) else f"{sign}{number}"


def unit_price(micro_per_kwh: int, currency: str, country: str | None = None, *, language: str | None = None) -> str:
    """A price per kWh, exact, with at least two decimals: 285000 EUR is "28.50 ct/kWh".

    Euro prices are in cents: "c€/kWh" for a Spanish reader or a Spanish market (country "ES"), else "ct/kWh". Other
    currencies are whole: "812.35 $/kWh". KeyError for an unknown currency.
    """
    if currency == "EUR":
        spanish = country == "ES" or active_language(language) == "es"
        number = decimal_text(Decimal(micro_per_kwh).scaleb(-4, context=EXACT), least=2, most=4, language=language)
        return f"{number}{NBSP}{'c€' if spanish else 'ct'}/kWh"
    number = decimal_text(Decimal(micro_per_kwh).scaleb(-6, context=EXACT), least=2, most=6, language=language)
    return f"{number}{NBSP}{SIGNS[currency]}/kWh"


def percent(ppm: int, *, language: str | None = None) -> str:
    """Parts per million as a percentage with at most two decimals: 253400 is "25.34%"."""
    number = decimal_text(Decimal(ppm).scaleb(-4, context=EXACT), most=2, language=language)
    return f"{number}%" if active_language(language) == "en" else f"{number}{NBSP}%"


def local_date(value: date | datetime, zone: ZoneInfo | None = None, *, language: str | None = None) -> str:
    """A date, or the local date of an instant in `zone`: "15 March 2021", "15. März 2021", "15 de marzo de 2021"."""
    day = _local(value, zone).date() if isinstance(value, datetime) else value
    with translation.override(active_language(language)):
        style = "j F Y" if active_language(language) == "en" else "DATE_FORMAT"
        return formats.date_format(day, style)


def local_time(value: datetime, zone: ZoneInfo) -> str:
    """The clock time of an instant in `zone`, "14:15"; in the hour that comes twice in autumn, "02:15 CEST"."""
    local = _local(value, zone)
    return f"{local:%H:%M} {local.tzname()}" if _comes_twice(local) else f"{local:%H:%M}"


def local_datetime(value: datetime, zone: ZoneInfo, *, language: str | None = None) -> str:
    """Date and clock time of an instant in `zone`: "15 March 2021, 14:15"."""
    return f"{local_date(value, zone, language=language)}, {local_time(value, zone)}"


def slot_range(start: datetime, end: datetime, zone: ZoneInfo) -> str:
    """A slot, half open, in local time: "14:00" to "14:15"; the slot before midnight ends at "24:00"."""
    first, last = _local(start, zone), _local(end, zone)
    # Clock times of one zone compare without their offset, wrong in the hour that comes twice.
    if last.astimezone(UTC) <= first.astimezone(UTC):
        raise ValueError(f"The slot ends at {end} before it starts at {start}.")
    midnight = f"{last:%H:%M}" == "00:00" and last.date() > first.date()
    return f"{local_time(start, zone)}{EN_DASH}{'24:00' if midnight else local_time(end, zone)}"


def _local(value: datetime, zone: ZoneInfo | None) -> datetime:
    if zone is None:
        raise ValueError("An instant needs a time zone to be shown in local time.")
    if value.tzinfo is None:
        raise ValueError("An instant needs to be aware: stored instants are in UTC.")
    return value.astimezone(zone)


def _comes_twice(local: datetime) -> bool:
    # A converted instant never falls into the gap in spring, so two offsets mean the repeated hour in autumn.
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()

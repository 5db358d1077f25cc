"""Money: micro-currency per kWh times Wh is nano-currency, exactly. It is rounded once, on the invoice line."""

PPM = 1_000_000
NANO = 1_000_000_000

# ISO 4217: digits after the point of the currencies in which a market area can settle.
MINOR_DIGITS = {"EUR": 2, "CHF": 2, "USD": 2, "GBP": 2, "COP": 2, "MXN": 2, "CLP": 0}


def amount(energy_wh: int, price_micro_per_kwh: int) -> int:
    """Nano-currency for an energy at a price."""
    return energy_wh * price_micro_per_kwh


def round_half_away(numerator: int, denominator: int) -> int:
    """The nearest integer to a fraction with positive denominator; halves go away from zero."""
    rounded = (2 * abs(numerator) + denominator) // (2 * denominator)
    return rounded if numerator >= 0 else -rounded


def nano_per_minor(currency: str) -> int:
    """How many nano-currency make one cent (or whatever the smallest coin is). Raises `KeyError` if unknown."""
    return NANO // int(10 ** MINOR_DIGITS[currency])


def to_minor(nano: int, currency: str) -> int:
    return round_half_away(nano, nano_per_minor(currency))

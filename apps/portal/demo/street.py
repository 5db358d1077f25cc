"""Who lives in the demonstration's street. Everybody and everything here is invented."""

from dataclasses import dataclass

UTILITY = "Stadtwerke Lindenfurt"
AREA = "Lindenfurt, Sonnenweg"
CITY = "Lindenfurt"
POSTAL_CODE = "09999"
COUNTRY = "DE"
TIME_ZONE = "Europe/Berlin"
CURRENCY = "EUR"

# Micro-euro per kWh, and parts per million.
SUPPLY_PRICE = 329_000
FEED_IN_PRICE = 78_000
VAT_PPM = 190_000

CLERK = "clerk@example.org"
AUDITOR = "auditor@example.org"


@dataclass(frozen=True, slots=True)
class Home:
    """A household: what it uses in a year, its roof, and how it sells.

    `offers_percent` of a day's surplus are offered, at most `offers_at_most_wh` where that is not zero, for
    `price_micro` per kWh. Homes with the same `box` share a meter agent. Without an e-mail there is no login.
    """

    number: int
    person: str
    email: str
    box: int
    annual_kwh: int
    roof_w: int = 0
    offers_percent: int = 0
    offers_at_most_wh: int = 0
    price_micro: int = 0

    @property
    def street(self) -> str:
        return f"Sonnenweg {self.number}"

    @property
    def code(self) -> str:
        """Like the number of a German metering point, with a country code that is none."""
        return f"XX0099990999900000000000000000{self.number:03d}"

    @property
    def name(self) -> str:
        return f"{self.street}, {CITY}"


HOMES = (
    Home(1, "Anna Lindner", "anna@example.org", 1, 3900, 14_800, offers_percent=100, price_micro=210_000),
    Home(2, "Bruno Keller", "bruno@example.org", 2, 4100, 9_900, offers_percent=60, price_micro=195_000),
    Home(3, "Clara Vogt", "", 3, 2600, 5_600, offers_percent=100, offers_at_most_wh=600, price_micro=180_000),
    Home(4, "David Brandt", "david@example.org", 3, 3200),
    Home(5, "Elif Aydin", "elif@example.org", 4, 2400),
    Home(6, "Familie Hoffmann", "hoffmann@example.org", 4, 5100),
)

# Who buys which part of whose offer, in percent: (seller, buyer, percent), by house number.
PURCHASES = ((3, 6, 100), (2, 4, 50), (2, 5, 30), (1, 6, 30), (1, 5, 20))

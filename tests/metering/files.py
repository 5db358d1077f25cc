"""Files by hand, and an independent writer of MSCONS."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass


def day_of_quarters(start: int, count: int) -> list[int]:
    return [start + n * 900 for n in range(count)]


@dataclass(frozen=True)
class Value:
    """A quarter of an hour: start in UTC seconds, kWh as text, the QTY qualifier."""

    start: int
    kwh: str
    qualifier: str = "220"


def escaped(text: str) -> str:
    return "".join(f"?{c}" if c in "?+:'" else c for c in text)


def stamp(instant: int, hours: int) -> str:
    local = dt.datetime.fromtimestamp(instant + hours * 3600, dt.UTC)
    return f"{local:%Y%m%d%H%M}?+{hours:02}"


def message(number: int, point: str, obis: str, values: Sequence[Value], *, hours: int = 0, unit: str = "KWH") -> str:
    segments = [
        f"UNH+{number}+MSCONS:D:04B:UN:2.4c",
        f"BGM+7+D{number}+9",
        "DTM+137:202106020600?+00:303",
        "RFF+Z13:13008",
        "NAD+MS+9900000000001::293",
        "NAD+MR+9900000000002::293",
        "UNS+D",
        "NAD+DP",
        f"LOC+172+{escaped(point)}",
        f"DTM+163:{stamp(values[0].start, hours)}:303",
        f"DTM+164:{stamp(values[-1].start + 900, hours)}:303",
        "LIN+1",
        f"PIA+5+{escaped(obis)}:SRW",
    ]
    for value in values:
        segments += [
            f"QTY+{value.qualifier}:{value.kwh}:{unit}",
            f"DTM+163:{stamp(value.start, hours)}:303",
            f"DTM+164:{stamp(value.start + 900, hours)}:303",
        ]
    segments.append(f"UNT+{len(segments) + 1}+{number}")
    return "".join(f"{segment}'\n" for segment in segments)


def interchange(*messages: str, reference: str = "REF1", sender: str = "9900000000001") -> bytes:
    head = f"UNA:+.? '\nUNB+UNOC:3+{sender}:500+9900000000002:500+210602:0600+{reference}'\n"
    return f"{head}{''.join(messages)}UNZ+{len(messages)}+{reference}'\n".encode("latin-1")

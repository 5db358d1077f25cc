"""The figures of all ledgers in the text format that Prometheus reads (version 0.0.4)."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from apps.ledger.services.figures import Figures, figures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[dict[str, str], int | None]


@dataclass(frozen=True, slots=True)
class Gauge:
    name: str
    help: str
    samples: Callable[[Figures], Iterable[Sample]]


def _one(read: Callable[[Figures], int | None]) -> Callable[[Figures], Iterable[Sample]]:
    return lambda found: [({}, read(found))]


GAUGES = (
    Gauge("up", "Whether the ledger answers.", _one(lambda f: int(not f.failure))),
    Gauge("size", "Entries or blocks of the ledger.", _one(lambda f: f.size)),
    Gauge("time_seconds", "The ledger's own time, in UTC seconds.", _one(lambda f: f.time)),
    Gauge("lag", "Entries or blocks that were not heard yet.", _one(lambda f: f.lag)),
    Gauge("commands_queued", "Commands that wait to be sent.", _one(lambda f: f.queued)),
    Gauge("commands_sent", "Commands whose outcome is not known yet.", _one(lambda f: f.sent)),
    Gauge("transactions_in_flight", "Transactions that are not final yet.", _one(lambda f: f.in_flight)),
    Gauge("streams_parked", "Streams that wait for a person.", _one(lambda f: f.parked)),
    Gauge("waiting_seconds", "Age of the oldest command that waits.", _one(lambda f: f.waiting_seconds or 0)),
    Gauge(
        "lane_queued",
        "Commands of a lane that wait to be sent.",
        lambda f: [({"lane": str(lane.number)}, lane.queued) for lane in f.lanes],
    ),
    Gauge(
        "lane_conflicts",
        "Transactions of a lane, in a row, that the ledger did not apply.",
        lambda f: [({"lane": str(lane.number)}, lane.conflicts) for lane in f.lanes],
    ),
    Gauge(
        "lane_failing",
        "Whether the last try of a lane failed and none has succeeded since.",
        lambda f: [({"lane": str(lane.number)}, int(bool(lane.last_failure) and not lane.over)) for lane in f.lanes],
    ),
    Gauge(
        "reader_behind",
        "Entries or blocks that a reader of the events has not heard yet.",
        lambda f: [({"reader": reader.name}, reader.behind) for reader in f.readers],
    ),
    Gauge(
        "certificate_seconds",
        "Seconds until the certificate that a setting names ends, negative afterwards.",
        lambda f: [({"setting": each.setting}, each.seconds) for each in f.expiries],
    ),
)


def exposition(ledgers: Iterable[str]) -> str:
    return "\n".join(_lines([figures(ledger) for ledger in ledgers])) + "\n"


def _lines(every: list[Figures]) -> Iterator[str]:
    for gauge in GAUGES:
        name = f"energymarket_ledger_{gauge.name}"
        yield f"# HELP {name} {gauge.help}"
        yield f"# TYPE {name} gauge"
        for found in every:
            for labels, value in gauge.samples(found):
                # What cannot be asked at the moment has no sample; zero would be a lie.
                if value is not None:
                    yield f"{name}{{{_labels({'ledger': found.ledger, **labels})}}} {value}"


def _labels(labels: dict[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

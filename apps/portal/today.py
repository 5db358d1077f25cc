"""A customer's local day as the dashboard shows it: a sentence, a flow diagram, areas over the day."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import add

from django.utils.translation import gettext as _

from apps.assets.choices import Technology
from apps.assets.models import MarketArea, MeteringPoint
from apps.settlement.selectors import day_flows
from apps.web.formatting import kwh
from apps.web.pictures import DayChart, Flow, FlowDiagram, FlowNode, Hue, Series
from apps.web.pictures.day import LocalDay

FLOWS = ("own_use", "from_neighbours", "from_utility", "sold", "fed_in")


@dataclass(frozen=True, slots=True)
class Today:
    """Wh per slot of a settled day, summed over metering points of one market area."""

    day: LocalDay
    own_use: tuple[int, ...]
    from_neighbours: tuple[int, ...]
    from_utility: tuple[int, ...]
    sold: tuple[int, ...]
    fed_in: tuple[int, ...]
    source: str
    has_plant: bool

    @property
    def made(self) -> int:
        return sum(self.own_use) + sum(self.sold) + sum(self.fed_in)

    @property
    def used(self) -> int:
        return sum(self.own_use) + sum(self.from_neighbours) + sum(self.from_utility)


def today(area: MarketArea, points: Sequence[MeteringPoint], day: dt.date) -> Today | None:
    """None while the day is not settled. `points` come with their plants."""
    local = LocalDay(day, area.zone, area.slot_minutes)
    sums = {name: [0] * len(local.starts) for name in FLOWS}
    settled = False
    for point in points:
        flows = day_flows(point, day)
        if flows is None:
            continue
        settled = True
        for name in FLOWS:
            sums[name] = list(map(add, sums[name], getattr(flows, name)))
    if not settled:
        return None
    plants = [point.plant for point in points if hasattr(point, "plant")]
    solar = all(plant.technology == Technology.SOLAR for plant in plants)
    source = _("Your roof") if solar else _("Your plant")
    return Today(local, **{name: tuple(sums[name]) for name in FLOWS}, source=source, has_plant=bool(plants))


def sentence(shown: Today) -> str:
    """The one-sentence answer to "how am I doing?"."""
    if shown.made:
        parts = _list(
            (sum(shown.own_use), _("you used %(energy)s yourself")),
            (sum(shown.sold), _("%(energy)s went to neighbours")),
            (sum(shown.fed_in), _("%(energy)s to the utility")),
        )
        made = _("%(source)s made %(energy)s: %(parts)s.") % {
            "source": shown.source,
            "energy": kwh(shown.made),
            "parts": parts,
        }
        return f"{made} {_bought(shown)}".strip()
    if not shown.used:
        return _("No energy flowed on this day.")
    parts = _list(
        (sum(shown.from_neighbours), _("%(energy)s from neighbours")),
        (sum(shown.from_utility), _("%(energy)s from the utility")),
    )
    return _("You used %(energy)s: %(parts)s.") % {"energy": kwh(shown.used), "parts": parts}


def _bought(shown: Today) -> str:
    parts = _list(
        (sum(shown.from_neighbours), _("%(energy)s from neighbours")),
        (sum(shown.from_utility), _("%(energy)s from the utility")),
    )
    return _("You took %(parts)s.") % {"parts": parts} if parts else _("You needed nothing else.")


def _list(*parts: tuple[int, str]) -> str:
    return ", ".join(words % {"energy": kwh(wh)} for wh, words in parts if wh)


def flow_picture(shown: Today) -> FlowDiagram:
    """Without a plant, only what came in: nothing can go out."""
    sources: tuple[FlowNode, ...] = (FlowNode("neighbours", _("Neighbours")), FlowNode("utility", _("Utility")))
    targets: tuple[FlowNode, ...] = (FlowNode("home", _("Your home")),)
    flows: tuple[Flow, ...] = (
        Flow("neighbours", "home", sum(shown.from_neighbours), Hue.NEIGHBOURS),
        Flow("utility", "home", sum(shown.from_utility), Hue.GRID),
    )
    if shown.has_plant:
        sources = (FlowNode("own", shown.source), *sources)
        targets = (*targets, FlowNode("sold", _("Neighbours")), FlowNode("grid", _("Utility")))
        flows = (
            Flow("own", "home", sum(shown.own_use), Hue.OWN),
            Flow("own", "sold", sum(shown.sold), Hue.NEIGHBOURS),
            Flow("own", "grid", sum(shown.fed_in), Hue.GRID),
            *flows,
        )
    return FlowDiagram("flow", _("Where the energy came from and went to"), sources, targets, flows)


def charts(shown: Today) -> list[DayChart]:
    """What was used, by where it came from; with a plant also what was made, by where it went."""
    used = DayChart(
        "used",
        _("What you used"),
        shown.day,
        tuple(
            _known(
                Series(Hue.OWN, _("Own use"), shown.own_use),
                Series(Hue.NEIGHBOURS, _("From neighbours"), shown.from_neighbours),
                Series(Hue.GRID, _("From the utility"), shown.from_utility),
            )
        ),
    )
    if not shown.has_plant:
        return [used]
    made = DayChart(
        "made",
        _("What you made"),
        shown.day,
        tuple(
            _known(
                Series(Hue.OWN, _("Own use"), shown.own_use),
                Series(Hue.NEIGHBOURS, _("Sold to neighbours"), shown.sold),
                Series(Hue.GRID, _("To the utility"), shown.fed_in),
            )
        ),
    )
    return [made, used]


def _known(*series: Series) -> Iterable[Series]:
    """Without the series that are zero all day, unless that leaves nothing."""
    shown = [one for one in series if one.total]
    return shown or series[-1:]

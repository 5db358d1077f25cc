"""Where energy came from and where it went: bands whose width is the energy."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.web.components import Column, Table
from apps.web.formatting import kwh, kwh_number
from apps.web.pictures.hues import Hue, paint, patterns
from apps.web.pictures.svg import Frame, drawing, number, picture, tag, text

BAR = 8
LABEL = 40
GAP = 12
THINNEST = 1.5
# A letter's usual width, in pixels of a drawing.
LETTER = 7.8


@dataclass(frozen=True, slots=True)
class FlowNode:
    """A place energy comes from (left) or goes to (right)."""

    key: str
    label: str


@dataclass(frozen=True, slots=True)
class Flow:
    """A band between a source and a target, by their keys."""

    source: str
    target: str
    wh: int
    hue: Hue


@dataclass(frozen=True, slots=True)
class FlowDiagram:
    """Sources, targets and the bands between them. `key` starts all ids: one per page.

    ValueError if a flow is negative or names a node that does not exist.
    """

    key: str
    title: str
    sources: tuple[FlowNode, ...]
    targets: tuple[FlowNode, ...]
    flows: tuple[Flow, ...]

    def __post_init__(self) -> None:
        sources, targets = {node.key for node in self.sources}, {node.key for node in self.targets}
        for flow in self.flows:
            if flow.wh < 0:
                raise ValueError(f"The flow from {flow.source} to {flow.target} is negative.")
            if flow.source not in sources or flow.target not in targets:
                raise ValueError(f"The flow from {flow.source} to {flow.target} names an unknown node.")

    @property
    def total(self) -> int:
        """Wh; the same on both sides."""
        return sum(flow.wh for flow in self.flows)


@dataclass(frozen=True, slots=True)
class Placed:
    """A node on the paper: the top of its label and of its bar, and the height of the bar."""

    node: FlowNode
    wh: int
    block: float
    bar: float
    height: float


def flow_diagram(diagram: FlowDiagram) -> SafeString:
    """The diagram; nodes without energy are left out."""
    labels = {node.key: node.label for node in (*diagram.sources, *diagram.targets)}
    description = ", ".join(
        _("%(energy)s from %(source)s to %(target)s")
        % {"energy": kwh(flow.wh), "source": labels[flow.source], "target": labels[flow.target]}
        for flow in diagram.flows
        if flow.wh
    )

    def draw(frame: Frame) -> SafeString:
        left = _place(frame, diagram, diagram.sources, [(flow.source, flow.wh) for flow in diagram.flows])
        right = _place(frame, diagram, diagram.targets, [(flow.target, flow.wh) for flow in diagram.flows])
        height = max((_bottom(frame, side[-1]) for side in (left, right) if side), default=0) + 2
        start, end = _columns(frame, left, right)
        prefix = f"{diagram.key}-{frame.name}"
        shapes = (
            patterns(prefix, [flow.hue for flow in diagram.flows]),
            tag("g", {}, *_bands(frame, prefix, diagram, left, right)),
            *(_node(frame, placed, start, on_left=True) for placed in left),
            *(_node(frame, placed, end, on_left=False) for placed in right),
        )
        return drawing(diagram.key, frame, height, diagram.title, description, *shapes)

    return picture(diagram.key, draw)


def flow_table(diagram: FlowDiagram) -> Table:
    """The table behind the diagram: a row per band and the total."""
    labels = {node.key: node.label for node in (*diagram.sources, *diagram.targets)}
    rows = tuple((labels[flow.source], labels[flow.target], kwh_number(flow.wh, fixed=True)) for flow in diagram.flows)
    total = (_("Together"), "", kwh_number(diagram.total, fixed=True))
    columns = (Column(_("From")), Column(_("To")), Column(_("kWh"), numeric=True))
    return Table(diagram.title, columns, rows, total)


def _scale(frame: Frame, diagram: FlowDiagram) -> float:
    """Pixels per Wh: the same on both sides, so that a band keeps its width."""
    return (160 if frame.narrow else 220) / max(diagram.total, 1)


def _place(
    frame: Frame, diagram: FlowDiagram, nodes: Sequence[FlowNode], amounts: Iterable[tuple[str, int]]
) -> list[Placed]:
    energy = dict.fromkeys((node.key for node in nodes), 0)
    for key, wh in amounts:
        energy[key] += wh
    placed, y = [], 0.0
    for node in nodes:
        if not energy[node.key]:
            continue
        height = max(energy[node.key] * _scale(frame, diagram), THINNEST)
        # On a phone the label stands above its bar, on a desk beside it.
        bar = y + LABEL if frame.narrow else y + max(LABEL - height, 0) / 2
        placed.append(Placed(node, energy[node.key], y, bar, height))
        y = GAP + (bar + height if frame.narrow else y + max(height, LABEL))
    return placed


def _bottom(frame: Frame, placed: Placed) -> float:
    return placed.bar + placed.height if frame.narrow else placed.block + max(placed.height, LABEL)


def _columns(frame: Frame, left: Sequence[Placed], right: Sequence[Placed]) -> tuple[float, float]:
    """The inner edges of the bars on the left and on the right; on a desk the labels stand outside."""
    if frame.narrow:
        return BAR, frame.width - BAR
    return _room(left) + BAR, frame.width - _room(right) - BAR


def _room(side: Sequence[Placed]) -> float:
    """Width kept for the labels of one side, in pixels, by the number of letters."""
    longest = max((max(len(placed.node.label), len(kwh(placed.wh))) for placed in side), default=0)
    return min(longest * LETTER + 12, 220)


def _bands(
    frame: Frame, prefix: str, diagram: FlowDiagram, left: Sequence[Placed], right: Sequence[Placed]
) -> list[SafeString]:
    start, end = _columns(frame, left, right)
    middle = (start + end) / 2
    leaving = {placed.node.key: placed.bar for placed in left}
    arriving = {placed.node.key: placed.bar for placed in right}
    order = {node.key: index for index, node in enumerate(diagram.targets)}
    bands = []
    for flow in sorted(diagram.flows, key=lambda flow: (_index(diagram.sources, flow.source), order[flow.target])):
        if not flow.wh:
            continue
        width = flow.wh * _scale(frame, diagram)
        thick = max(width, THINNEST)
        a, b = leaving[flow.source], arriving[flow.target]
        leaving[flow.source], arriving[flow.target] = a + width, b + width
        x0, x1, xm = number(start), number(end), number(middle)
        d = (
            f"M{x0} {number(a)}C{xm} {number(a)} {xm} {number(b)} {x1} {number(b)}V{number(b + thick)}"
            f"C{xm} {number(b + thick)} {xm} {number(a + thick)} {x0} {number(a + thick)}Z"
        )
        bands.append(tag("path", {"d": d, "class": "band", "fill": paint(prefix, flow.hue)}))
    return bands


def _index(nodes: Sequence[FlowNode], key: str) -> int:
    return next(index for index, node in enumerate(nodes) if node.key == key)


def _node(frame: Frame, placed: Placed, edge: float, *, on_left: bool) -> SafeString:
    """A bar whose inner edge is `edge`, with its label: above it on a phone, beside it on a desk."""
    x = edge - BAR if on_left else edge
    bar = tag("rect", {"x": x, "y": placed.bar, "width": BAR, "height": placed.height, "class": "node"})
    if frame.narrow:
        name_y = placed.block + 15
        label_x, anchor = (0.0, "start") if on_left else (float(frame.width), "end")
    else:
        name_y = placed.bar + placed.height / 2 - 4
        label_x, anchor = (0.0 if on_left else x + BAR + 12), "start"
    name = text(placed.node.label, label_x, name_y, "node-name", anchor)
    amount = text(kwh(placed.wh), label_x, name_y + 18, "node-amount", anchor)
    return tag("g", {}, bar, name, amount)

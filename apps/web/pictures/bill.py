"""A bill as two bars: the energy used above, the money due below, and how each part of one becomes the other."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import conditional_escape
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.web.formatting import EN_DASH, kwh, kwh_number, money_minor
from apps.web.pictures.hues import Hue, paint, patterns, swatch
from apps.web.pictures.svg import Frame, drawing, number, picture, tag, text

BAR = 32
BETWEEN = 40
LINE = 28


@dataclass(frozen=True, slots=True)
class BillPart:
    """One line of a bill: its energy (None for taxes and fees) and its amount in minor units, negative for a credit."""

    label: str
    amount: int
    hue: Hue
    wh: int | None = None


@dataclass(frozen=True, slots=True)
class BillBar:
    """A bill: parts in the order of the invoice and the amount due, both in minor units of `currency`.

    `is_paid_out`: of a credit note, whose amounts are positive too.

    `key` starts all ids: one per page. ValueError if the parts do not add up to what is due.
    """

    key: str
    title: str
    currency: str
    due: int
    parts: tuple[BillPart, ...]
    is_paid_out: bool = False

    @property
    def label(self) -> str:
        """Which way the money goes."""
        return _("Paid out to you") if self.is_paid_out or self.due < 0 else _("To pay")

    def __post_init__(self) -> None:
        total = sum(part.amount for part in self.parts)
        if total != self.due:
            raise ValueError(f"The parts add up to {total}, due is {self.due}.")

    @property
    def wh(self) -> int:
        """All energy on the bill, Wh."""
        return sum(part.wh or 0 for part in self.parts)


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a bar: from x to x, in pixels."""

    start: float
    end: float


def bill_bar(bill: BillBar) -> SafeString:
    """The two bars and, below, the lines of the bill that they show."""
    description = ", ".join(f"{part.label} {money_minor(part.amount, bill.currency)}" for part in bill.parts)

    def draw(frame: Frame) -> SafeString:
        return _draw(bill, frame, description)

    return picture(bill.key, draw, _lines(bill))


def _draw(bill: BillBar, frame: Frame, description: str) -> SafeString:
    prefix = f"{bill.key}-{frame.name}"
    charges = [max(part.amount, 0) for part in bill.parts]
    credits = [max(-part.amount, 0) for part in bill.parts]
    scale = max(sum(charges), sum(credits), 1)
    energy = _spans(frame, [part.wh or 0 for part in bill.parts], max(bill.wh, 1))
    cost = _spans(frame, charges, scale)
    back = _spans(frame, credits, scale)
    top, low = LINE, LINE + BAR + BETWEEN
    height = low + BAR
    shapes = [patterns(prefix, [part.hue for part in bill.parts])]
    shapes += [
        tag("path", {"d": _ribbon(above, below, top + BAR, low), "class": f"ribbon ribbon-{part.hue}"})
        for part, above, below in zip(bill.parts, energy, cost, strict=True)
        if part.wh and part.amount >= 0
    ]
    shapes += _bar(prefix, bill, energy, top) + _bar(prefix, bill, cost, low)
    shapes += _heading(frame, _("Energy"), kwh(bill.wh), LINE - 10)
    shapes += _heading(frame, _("Costs") if any(credits) else bill.label, _sum(bill, charges), low + BAR + 21)
    height += LINE
    if any(credits):
        height += LINE // 2
        shapes += _bar(prefix, bill, back, height)
        shapes += _heading(frame, _("Credited to you"), _sum(bill, [-amount for amount in credits]), height + BAR + 21)
        height += BAR + LINE
    return drawing(bill.key, frame, height, bill.title, description, *shapes)


def _spans(frame: Frame, amounts: Sequence[int], scale: int) -> list[Span]:
    spans, done = [], 0
    for amount in amounts:
        spans.append(Span(done * frame.width / scale, (done + amount) * frame.width / scale))
        done += amount
    return spans


def _bar(prefix: str, bill: BillBar, spans: Sequence[Span], y: float) -> list[SafeString]:
    return [
        tag(
            "rect",
            {
                "x": span.start,
                "y": y,
                "width": span.end - span.start,
                "height": BAR,
                "class": "part",
                "fill": paint(prefix, part.hue),
            },
        )
        for part, span in zip(bill.parts, spans, strict=True)
        if span.end > span.start
    ]


def _ribbon(above: Span, below: Span, y0: float, y1: float) -> str:
    middle = number((y0 + y1) / 2)
    a, b, c, d = (number(x) for x in (above.start, above.end, below.end, below.start))
    top, low = number(y0), number(y1)
    return f"M{a} {top}H{b}C{b} {middle} {c} {middle} {c} {low}H{d}C{d} {middle} {a} {middle} {a} {top}Z"


def _heading(frame: Frame, label: str, amount: str, y: float) -> list[SafeString]:
    return [text(label, 0, y, "bar-name"), text(amount, frame.width, y, "bar-amount", "end")]


def _sum(bill: BillBar, amounts: Sequence[int]) -> str:
    return money_minor(sum(amounts), bill.currency)


def _lines(bill: BillBar) -> SafeString:
    """The lines of the bill as a table: what, how much energy, how much money."""
    head = tag(
        "thead",
        {},
        tag("tr", {}, _head(_("What")), _head(_("kWh"), "number"), _head(_("Amount"), "number")),
    )
    body = tag("tbody", {}, *[_line(bill, index, part) for index, part in enumerate(bill.parts)])
    label = bill.label
    due = tag("td", {"class": "number"}, conditional_escape(money_minor(abs(bill.due), bill.currency)))
    energy = tag("td", {"class": "number"}, conditional_escape(kwh_number(bill.wh, fixed=True)))
    foot = tag("tfoot", {}, tag("tr", {}, tag("th", {"scope": "row"}, conditional_escape(label)), energy, due))
    caption = tag("caption", {"class": "visually-hidden"}, conditional_escape(bill.title))
    return tag("table", {"class": "statement"}, caption, head, body, foot)


def _head(label: str, css: str = "") -> SafeString:
    return tag("th", {"scope": "col", "class": css} if css else {"scope": "col"}, conditional_escape(label))


def _line(bill: BillBar, index: int, part: BillPart) -> SafeString:
    mark = swatch(f"{bill.key}-key-{index}", part.hue)
    label = tag("span", {}, conditional_escape(part.label))
    energy = EN_DASH if part.wh is None else kwh_number(part.wh, fixed=True)
    return tag(
        "tr",
        {},
        tag("th", {"scope": "row"}, tag("span", {"class": "what"}, mark, label)),
        tag("td", {"class": "number"}, conditional_escape(energy)),
        tag("td", {"class": "number"}, conditional_escape(money_minor(part.amount, bill.currency))),
    )

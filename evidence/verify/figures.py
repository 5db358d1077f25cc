"""Lines, tax and totals, recomputed from energy and price."""

from evidence.invoice import Figures, Line, compute
from evidence.settlement import Scheme
from evidence.verify.document import Document, StatedLine
from evidence.verify.readings import Readings
from evidence.verify.report import Check, VerificationError


def check_figures(
    document: Document, readings: Readings, energy: dict[tuple[Scheme, int], int]
) -> tuple[Figures, Check]:
    """`energy`: Wh by scheme and price in micro-currency per kWh."""
    rates: dict[Scheme, int] = {}
    for line in document.lines:
        if line[0] != "rounding" and rates.setdefault(Scheme(int(line[0])), line[4]) != line[4]:
            raise VerificationError("document.lines", "one scheme is taxed at two rates")
    if missing := {scheme for scheme, _ in energy} - set(rates):
        raise VerificationError("document.lines", f"no line for {', '.join(s.name.lower() for s in missing)}")
    figures = compute(energy, rates, document.currency)
    if [_stated(line) for line in figures.lines] != document.lines:
        raise VerificationError("document.lines", "the lines are not what the settled energy comes to")
    if [(g.ppm, g.net_minor, g.vat_minor) for g in figures.vat] != document.vat:
        raise VerificationError("document.vat", "the tax is not what the lines come to")
    if (figures.net_minor, figures.vat_minor, figures.total_minor) != document.totals:
        raise VerificationError("document", "the totals are not what the lines come to")
    if dict(readings.grades) != document.grades:
        raise VerificationError("document.grades", "the grades are not those of the readings")
    text = f"lines, tax and total recomputed: {figures.total_minor} {document.currency} minor units"
    return figures, Check("figures", text)


def _stated(line: Line) -> StatedLine:
    scheme = "rounding" if line.scheme is None else str(int(line.scheme))
    return scheme, line.energy_wh, line.price_micro, line.amount_minor, line.vat_ppm

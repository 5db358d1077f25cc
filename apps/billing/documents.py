"""The document itself, as canonical JSON: what its hash on the ledger stands for."""

from typing import Any

from apps.accounts.models import Party
from apps.billing.models import Invoice
from evidence import canonical
from evidence.canonical import encode_bytes, encode_int
from evidence.invoice import Figures, Line
from evidence.settlement import Scheme as EvidenceScheme

TYPE = "energymarket/invoice/1"


def build(invoice: Invoice, figures: Figures, grades: dict[int, int]) -> bytes:
    """`grades`: Wh of the readings behind the figures, by grade of evidence."""
    area, point = invoice.area, invoice.point
    return canonical.dumps(
        {
            "type": TYPE,
            "kind": str(invoice.kind),
            "series": invoice.series.prefix,
            "number": encode_int(invoice.number),
            "issued": invoice.issued_at.isoformat(),
            "issuer": _party(area.utility),
            "customer": _party(invoice.party),
            "point": {"id": encode_bytes(bytes(point.ledger_id)), "code": point.code, "name": point.name},
            "area": encode_bytes(bytes(area.ledger_id)),
            "time_zone": area.time_zone,
            "slot_seconds": encode_int(area.slot_seconds),
            "start": invoice.start.isoformat(),
            "end": invoice.end.isoformat(),
            "currency": invoice.currency,
            "lines": [_line(line) for line in figures.lines],
            "vat": [
                {
                    "ppm": encode_int(group.ppm),
                    "net_minor": encode_int(group.net_minor),
                    "vat_minor": encode_int(group.vat_minor),
                }
                for group in figures.vat
            ],
            "net_minor": encode_int(figures.net_minor),
            "vat_minor": encode_int(figures.vat_minor),
            "total_minor": encode_int(figures.total_minor),
            "grades": [
                {"grade": encode_int(grade), "energy_wh": encode_int(wh)} for grade, wh in sorted(grades.items())
            ],
        }
    )


def _party(party: Party) -> dict[str, str]:
    names = ("name", "street", "postal_code", "city", "country", "tax_id")
    return {"id": encode_bytes(bytes(party.ledger_id)), **{name: getattr(party, name) for name in names}}


def _line(line: Line) -> dict[str, str]:
    return {
        "scheme": encode_int(line.scheme) if line.scheme is not None else "rounding",
        "energy_wh": encode_int(line.energy_wh),
        "price_micro": encode_int(line.price_micro),
        "amount_minor": encode_int(line.amount_minor),
        "vat_ppm": encode_int(line.vat_ppm),
    }


def read(invoice: Invoice) -> Any:
    return canonical.loads(bytes(invoice.document))


def read_lines(invoice: Invoice) -> list[Line]:
    return [
        Line(
            None if line["scheme"] == "rounding" else EvidenceScheme(int(line["scheme"])),
            int(line["energy_wh"]),
            int(line["price_micro"]),
            int(line["amount_minor"]),
            int(line["vat_ppm"]),
        )
        for line in read(invoice)["lines"]
    ]

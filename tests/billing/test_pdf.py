import io
import json
from typing import Any

import pytest
from pypdf import PdfReader

from apps.billing import glyphs, pdf
from apps.billing.glyphs import REPLACEMENT, drawable
from evidence import canonical
from evidence.canonical import encode_bytes
from evidence.invoice import compute
from evidence.settlement import Scheme

DIGEST = bytes(range(32))
BOUGHT = {
    (Scheme.PURCHASE, 215_000): 123_456,
    (Scheme.PURCHASE, 228_500): 35_671,
    (Scheme.SUPPLY, 312_345): 1_201_333,
}
SOLD = {(Scheme.PURCHASE, 215_000): 123_456, (Scheme.FEED_IN, 78_900): 912_345}
HOSTILE = [
    "#panic()",
    '#(1/0) ]"}; $x$ \\ `raw` <label> @ref #import "@preview/x:1.0.0"',
    "*bold* _slanted_ // no comment /* none */ --- https://example.org",
    "a" * 200,
    "ك" * 100,
    "\u202eevil\u202c \u0000\u001b[31m\u2028",
    "שלום محمد",
    "👩‍👩‍👧 🇩🇪 Ωμέγα Жук 中文",
    "\u0301\u064e\u200d e\u0301\u064e",
    "{page} {pages} {number}",
    "",
]


def document(
    kind: str = "invoice",
    energy: dict[tuple[Scheme, int], int] = BOUGHT,
    vat_ppm: int = 190_000,
    currency: str = "EUR",
    country: str = "DE",
    **members: Any,
) -> dict[str, Any]:
    """A document as `apps.billing.documents` writes it: all integers are decimal strings."""
    figures = compute(energy, {scheme: vat_ppm for scheme, _ in energy}, currency)
    return {
        "type": "energymarket/invoice/1",
        "kind": kind,
        "series": "R-" if kind == "invoice" else "G-",
        "number": "414",
        # Already the next day in Berlin.
        "issued": "2021-03-31T22:30:00+00:00",
        "issuer": party("Stadtwerke Musterstadt GmbH", "Werkstraße 12", country, "DE123456789"),
        "customer": party("Alice Weber", "Sonnenallee 7", country),
        "point": {"id": encode_bytes(bytes(32)), "code": "DE0001234567890000000000000000414", "name": "House"},
        "area": encode_bytes(bytes(32)),
        "time_zone": "Europe/Berlin",
        "slot_seconds": "900",
        "start": "2021-03-01",
        "end": "2021-04-01",
        "currency": currency,
        "lines": [
            {
                "scheme": "rounding" if line.scheme is None else str(int(line.scheme)),
                "energy_wh": str(line.energy_wh),
                "price_micro": str(line.price_micro),
                "amount_minor": str(line.amount_minor),
                "vat_ppm": str(line.vat_ppm),
            }
            for line in figures.lines
        ],
        "vat": [
            {"ppm": str(group.ppm), "net_minor": str(group.net_minor), "vat_minor": str(group.vat_minor)}
            for group in figures.vat
        ],
        "net_minor": str(figures.net_minor),
        "vat_minor": str(figures.vat_minor),
        "total_minor": str(figures.total_minor),
        "grades": [{"grade": str(grade), "energy_wh": str(grade * 1_111)} for grade in (1, 2, 3)],
        **members,
    }


def party(name: str, street: str, country: str = "DE", tax_id: str = "") -> dict[str, str]:
    return {
        "id": encode_bytes(bytes(32)),
        "name": name,
        "street": street,
        "postal_code": "10115",
        "city": "Musterstadt",
        "country": country,
        "tax_id": tax_id,
    }


def pages(content: bytes) -> list[str]:
    """The text of each page, with plain spaces."""
    return [" ".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(content)).pages]


def text(content: bytes) -> str:
    return " ".join(pages(content))


def test_the_page_says_who_what_and_when() -> None:
    shown = text(pdf.render(document(), "en", DIGEST))
    for expected in (
        "Invoice R-000414",
        "Stadtwerke Musterstadt GmbH",
        "Werkstraße 12 · 10115 Musterstadt · Germany",
        "Tax number: DE123456789",
        "Alice Weber",
        "Sonnenallee 7",
        "1 April 2021",
        "1 March 2021 \u2013 31 March 2021",
        "DE0001234567890000000000000000414",
        "Page 1 of 1",
    ):
        assert expected in shown


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (
            "en",
            [
                "From neighbours 123.456 21.50 ct/kWh 19% €26.54",
                "From neighbours 35.671 22.85 ct/kWh 19% €8.15",
                "From the utility 1,201.333 31.2345 ct/kWh 19% €375.23",
                "19% €409.92 €77.88 Amount due €487.80",
                "Energy 1,360.460 kWh",
                "signed by the meter 1.111",
                "substitute value, formed by rule 3.333",
            ],
        ),
        (
            "de",
            [
                "123,456 21,50 ct/kWh 19 % 26,54 €",
                "1.201,333 31,2345 ct/kWh 19 % 375,23 €",
                "19 % 409,92 € 77,88 €",
                "487,80 €",
                "1. März 2021 \u2013 31. März 2021",
            ],
        ),
        (
            "es",
            [
                "123,456 21,50 c€/kWh 19 % 26,54 €",
                "1.201,333 31,2345 c€/kWh 19 % 375,23 €",
                "19 % 409,92 € 77,88 €",
                "487,80 €",
                "1 de marzo de 2021 \u2013 31 de marzo de 2021",
            ],
        ),
    ],
)
def test_the_figures_are_those_of_the_document(language: str, expected: list[str]) -> None:
    shown = text(pdf.render(document(), language, DIGEST))
    assert [figure for figure in expected if figure not in shown] == []


def test_the_foot_says_how_to_check() -> None:
    shown = text(pdf.render(document(), "en", DIGEST))
    assert DIGEST.hex() in shown.replace(" ", "")
    assert "energymarket-verify bundle.json --trust anchors.json" in shown


def test_a_credit_note_is_self_billed_and_credited() -> None:
    shown = text(pdf.render(document("credit_note", SOLD), "en", DIGEST))
    assert "Credit note G-000414" in shown
    assert "Self-billing" in shown
    assert "Sold to neighbours 123.456 21.50 ct/kWh 19% €26.54" in shown
    assert "Fed in to the utility 912.345 7.89 ct/kWh 19% €71.98" in shown
    assert "Rounding 19% €0.01" in shown
    assert "This amount is credited to you €117.25" in shown
    assert "Amount due" not in shown
    assert "No VAT" not in shown


@pytest.mark.parametrize(("country", "section"), [("DE", True), ("ES", False)])
def test_without_vat_a_note_says_so(country: str, section: bool) -> None:
    shown = text(pdf.render(document("credit_note", SOLD, vat_ppm=0, country=country), "en", DIGEST))
    assert "No VAT is charged" in shown
    assert ("§ 19 UStG" in shown) is section


def test_a_negative_invoice_is_paid_out() -> None:
    negative = document(net_minor="-100", vat_minor="-19", total_minor="-119")
    shown = text(pdf.render(negative, "en", DIGEST))
    assert "To be paid out to you €1.19" in shown
    assert "Amount due" not in shown


def test_several_vat_rates_are_summed_as_the_document_says() -> None:
    groups = [
        {"ppm": "190000", "net_minor": "10000", "vat_minor": "1900"},
        {"ppm": "0", "net_minor": "500", "vat_minor": "0"},
    ]
    mixed = document(vat=groups, net_minor="10500", vat_minor="1900", total_minor="12400")
    shown = text(pdf.render(mixed, "en", DIGEST))
    assert "19% €100.00 €19.00 0% €5.00 €0.00 Sum €105.00 €19.00 Amount due €124.00" in shown
    assert "No VAT" not in shown


def test_pesos_have_whole_prices() -> None:
    pesos = document(energy={(Scheme.SUPPLY, 812_350_000): 10_000}, currency="COP", country="CO")
    assert "10,000 812,35 $/kWh 19 % $ 8.123,50" in text(pdf.render(pesos, "es", DIGEST))


@pytest.mark.parametrize("language", ["en", "de", "es"])
def test_the_same_document_gives_the_same_bytes(language: str) -> None:
    assert pdf.render(document(), language, DIGEST) == pdf.render(document(), language, DIGEST)


def test_a_long_invoice_repeats_the_head_of_its_table() -> None:
    energy = {(Scheme.PURCHASE, 200_000 + 1_000 * i): 1_000 + i for i in range(40)}
    energy |= {(Scheme.SUPPLY, 300_000 + 1_000 * i): 2_000 + i for i in range(20)}
    shown = pages(pdf.render(document(energy=energy), "en", DIGEST))
    assert len(shown) == 3
    assert all("What Energy (kWh) Price VAT rate Net amount" in page for page in shown)
    assert [f"Page {i} of 3" in page for i, page in enumerate(shown, 1)] == [True, True, True]
    # Each line stands on exactly one page.
    assert sum(page.count(" ct/kWh ") for page in shown) == 60


@pytest.mark.parametrize("hostile", HOSTILE)
def test_texts_are_never_source(hostile: str) -> None:
    given = document(series=hostile[:20])
    for name in ("name", "street", "postal_code", "city", "tax_id"):
        given["issuer"][name] = given["customer"][name] = hostile
    given["issuer"]["country"] = given["customer"]["country"] = hostile[:2]
    given["point"] |= {"code": hostile, "name": hostile}
    shown = text(pdf.render(given, "en", DIGEST))
    assert "€487.80" in shown
    if hostile.isascii() and hostile:
        assert drawable(hostile).replace(" ", "") in shown.replace(" ", "").replace("\u200b", "")


def test_what_cannot_be_drawn_is_replaced_and_said() -> None:
    given = document()
    given["customer"]["name"] = "Alice 👩 \u202eWeber"
    shown = text(pdf.render(given, "en", DIGEST))
    assert f"Alice {REPLACEMENT} {REPLACEMENT}Weber" in shown
    assert "Characters that this page cannot show" in shown
    assert "Characters that this page cannot show" not in text(pdf.render(document(), "en", DIGEST))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("José Müller-Łukasz", "José Müller-Łukasz"),
        ("  two \n lines ", "two lines"),
        ("e\u0301", "e\u0301"),
        ("e\u064e", "e□"),
        ("شَركة", "شَركة"),
        ("\u202eabc", "□abc"),
        ("中", "□"),
    ],
)
def test_drawable(given: str, expected: str) -> None:
    assert drawable(given) == expected


def test_another_character_map_is_refused() -> None:
    font = (glyphs.FONTS / glyphs.FILES[0]).read_bytes()
    with pytest.raises(ValueError, match="no character map"):
        glyphs.coverage(font.replace(b"cmap", b"CMAP"))


def test_the_document_is_attached_and_the_file_is_archivable_and_accessible() -> None:
    given = document()
    content = pdf.render(given, "de", DIGEST)
    reader = PdfReader(io.BytesIO(content))
    assert canonical.loads(reader.attachments["invoice.json"][0]) == json.loads(json.dumps(given))
    assert b"<pdfaid:part>3</pdfaid:part>" in content
    assert b"<pdfuaid:part>1</pdfuaid:part>" in content
    assert reader.metadata is not None
    assert str(reader.metadata.title).endswith(" R-000414")
    assert reader.metadata.creation_date_raw == "D:20210331223000Z"
    assert str(reader.root_object["/Lang"]) == "de"


def test_a_hash_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        pdf.render(document(), "en", bytes(20))

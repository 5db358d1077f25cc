from datetime import UTC, datetime, timedelta

import pytest
from django import forms
from django.core.paginator import Paginator
from django.template import RequestContext, Template, TemplateSyntaxError
from django.test import RequestFactory

from apps.web.components import Column, LedgerSeal, SealState, Table
from apps.web.templatetags.components import seal_words

NOW = datetime(2021, 3, 15, 12, 0, tzinfo=UTC)


def render(source: str, **context: object) -> str:
    request = RequestFactory().get("/offers/", {"state": "open"})
    page = Template("{% load components figures %}" + source)
    return page.render(RequestContext(request, context))


class OfferForm(forms.Form):
    energy = forms.IntegerField(label="Energy", help_text="In kWh.")
    note = forms.CharField(label="Note", required=False)
    partly = forms.BooleanField(label="In part", required=False)


@pytest.mark.parametrize(
    ("seal", "words"),
    [
        (LedgerSeal(SealState.QUEUED), "Waiting for the ledger: queued"),
        (
            LedgerSeal(SealState.SENT, since=NOW - timedelta(seconds=8)),
            "Waiting for the ledger: sent, just now",
        ),
        (LedgerSeal(SealState.CONFIRMED, entry=414), "On the ledger, entry 414"),
        (LedgerSeal(SealState.CONFIRMED, entry=7, in_block=True), "On the ledger, block 7"),
        (
            LedgerSeal(SealState.CONFIRMED, entry=414, verified_at=NOW - timedelta(minutes=2)),
            "On the ledger, entry 414, verified 2\u00a0minutes ago",
        ),
        (LedgerSeal(SealState.REJECTED, reason="already sold"), "Rejected by the ledger: already sold"),
    ],
)
def test_a_seal_says_where_the_record_stands(seal: LedgerSeal, words: str) -> None:
    assert seal_words(seal, NOW) == words


def test_a_seal_links_to_its_evidence_only_when_there_is_some() -> None:
    seal = LedgerSeal(SealState.CONFIRMED, entry=414, href="/evidence/1/")
    assert '<a class="seal seal-confirmed" href="/evidence/1/">' in render("{% ledger_seal seal %}", seal=seal)
    assert "href" not in render("{% ledger_seal seal %}", seal=LedgerSeal(SealState.QUEUED))


def test_a_seal_without_what_it_has_to_show_is_refused() -> None:
    with pytest.raises(ValueError, match="entry"):
        LedgerSeal(SealState.CONFIRMED)
    with pytest.raises(ValueError, match="reason"):
        LedgerSeal(SealState.REJECTED)


def test_a_table_row_carries_its_headings_for_the_phone() -> None:
    table = Table("Invoices", (Column("Number"), Column("To pay", numeric=True)), (("1", "€5.00"),), ("All", "€5.00"))
    html = render("{% data_table table %}", table=table)
    assert '<th scope="row" role="rowheader">1</th>' in html
    assert '<td role="cell" data-label="To pay" class="number">€5.00</td>' in html


def test_a_table_with_a_missing_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        Table("Invoices", (Column("Number"), Column("To pay")), (("1",),))


def test_a_form_ties_labels_help_and_errors_to_its_fields() -> None:
    html = render('{% render_form form submit="Save" cancel="/" %}', form=OfferForm({"energy": "many"}))
    assert '<label class="field-label" for="id_energy">Energy</label>' in html
    assert 'aria-describedby="id_energy_helptext id_energy_error"' in html
    assert 'id="id_energy_helptext"' in html
    assert 'id="id_energy_error"' in html
    assert 'name="csrfmiddlewaretoken"' in html


def test_optional_fields_say_so() -> None:
    html = render("{% render_fields form %}", form=OfferForm())
    assert html.count("optional") == 1


def test_a_confirm_button_asks_before_it_posts() -> None:
    html = render(
        '{% confirm_button label="Withdraw" question="Sure?" confirm="Yes" action="/offers/1/withdraw/" tone="bad" %}'
    )
    assert html.index("<summary") < html.index("Sure?") < html.index("Yes")
    assert 'method="post" action="/offers/1/withdraw/"' in html
    assert "csrfmiddlewaretoken" in html


def test_pagination_keeps_the_filter() -> None:
    html = render("{% pagination page %}", page=Paginator(range(50), 20).page(2))
    assert "?state=open&amp;page=1" in html
    assert "?state=open&amp;page=3" in html
    assert "Page 2 of 3" in html


def test_a_single_page_needs_no_pagination() -> None:
    assert render("{% pagination page %}", page=Paginator(range(5), 20).page(1)).strip() == ""


def test_a_chip_of_an_unknown_tone_is_refused() -> None:
    with pytest.raises(ValueError, match="tone"):
        render('{% chip "open" "pink" %}')


def test_texts_are_escaped() -> None:
    html = render("{% page_heading title=name answer=name %}{% chip name %}", name="<i>Ana</i>")
    assert "<i>" not in html


def test_filters_format_figures() -> None:
    html = render('{{ 12400|kwh }} {{ 8642|money_minor:"EUR" }} {% unit_price 285000 "EUR" %} {{ 500000|percent }}')
    assert html == "12.4\u00a0kWh €86.42 28.50\u00a0ct/kWh 50%"


def test_a_component_without_its_required_part_is_an_error() -> None:
    with pytest.raises(TemplateSyntaxError):
        render("{% page_heading %}")

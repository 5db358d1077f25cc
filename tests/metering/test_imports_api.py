"""POST /api/v1/imports: files of programs of the utility, and who may not."""

import datetime as dt
import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import ApiClient, Party
from apps.assets.models import MarketArea
from apps.metering import readings
from apps.metering.choices import ImportState
from apps.metering.models import Batch, ReadingImport, TableLayout
from apps.metering.services.files import run_imports
from evidence.canonical import encode_bytes
from tests.market import Market, make_market
from tests.metering.files import Value, interchange, message
from tests.metering.head_end import assert_refused

pytestmark = pytest.mark.django_db
URL = "/api/v1/imports"
START = 1_622_498_400  # 2021-06-01 in Berlin
DAY = [START + n * 900 for n in range(96)]


@pytest.fixture
def market() -> Market:
    return make_market({"bob": 0})


def token_of(utility: Party) -> str:
    client = ApiClient(utility=utility, name="billing")
    token = client.new_token()
    client.save()
    return token


@pytest.fixture
def token(market: Market) -> str:
    return token_of(market.utility)


def post(token: str, content: bytes, **query: str) -> Any:
    address = f"{URL}?{'&'.join(f'{name}={value}' for name, value in query.items())}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return Client().post(address, content, content_type="application/octet-stream", headers=headers)


def get(token: str, where: str) -> Any:
    return Client().get(where, headers={"Authorization": f"Bearer {token}"})


def mscons(qualifier: str = "220", reference: str = "REF1") -> bytes:
    quarters = [Value(slot, "0.1", qualifier if n == 7 else "220") for n, slot in enumerate(DAY)]
    return interchange(message(1, "bob-1", "1-1:1.29.0", quarters), reference=reference)


def stored(market: Market) -> list[int]:
    found = readings.latest(market.area.pk, [market.points["bob"].pk], START, START + 86_400)
    return [reading.value for reading in found]


def test_a_file_is_taken_and_stored_soon(market: Market, token: str) -> None:
    response = post(token, mscons(), source="mscons", name="x.edi")
    assert response.status_code == 202, response.content
    assert (response.json()["state"], response.json()["report"]["new"]) == ("queued", 96)
    run_imports()
    answer = get(token, response["Location"]).json()
    assert (answer["state"], answer["stored"], answer["name"], answer["done"]) == ("stored", 96, "x.edi", 1)
    assert stored(market) == [100] * 96
    delivery = ReadingImport.objects.get()
    assert (str(delivery.client), delivery.sender) == ("billing", "billing")
    again = post(token, mscons(), source="mscons")
    assert (again.status_code, again.json()["id"], again.json()["state"]) == (200, delivery.pk, "stored")
    assert_refused(post(token, mscons("67"), source="mscons"), 409, "", "reference_reused")


def test_bad_rows_are_named_and_nothing_is_stored_unless_the_good_ones_are_wanted(market: Market, token: str) -> None:
    response = post(token, mscons("187"), source="mscons")
    assert_refused(response, 422, "line 36, QTY", "unknown_quality")
    assert get(token, response["Location"]).json()["state"] == ImportState.CHECKED
    run_imports()
    assert stored(market) == []
    assert post(token, mscons("187"), source="mscons", keep_good="true").status_code == 202
    run_imports()
    assert stored(market) == [100] * 95


def test_a_table_in_an_agreed_layout(market: Market, token: str) -> None:
    TableLayout.objects.create(
        area=market.area, name="operator", time="t", form="%d.%m.%Y %H:%M", point="p", value="kWh"
    )
    times = [dt.datetime.fromtimestamp(slot, market.area.zone) for slot in DAY]
    rows = [f"bob-1;{time:%d.%m.%Y %H:%M};0,25" for time in times]
    content = "\n".join(["p;t;kWh", *rows]).encode()
    assert_refused(post(token, content, source="csv", layout="other"), 400, "layout", "unknown_layout")
    assert post(token, content, source="csv", layout="operator").status_code == 202
    run_imports()
    assert stored(market) == [250] * 96


def test_what_is_asked_for_must_make_sense(market: Market, token: str) -> None:
    assert_refused(post(token, b"", source="pdf"), 400, "source", "unknown_source")
    assert_refused(post(token, b""), 400, "source", "unknown_source")
    assert_refused(post(token, b"x", source="mscons"), 422, "line 0, segment 1", "cut_off")
    assert_refused(post(token, b"x" * 5_000_001, source="mscons"), 413, "", "too_large")
    assert_refused(post(token, b"x", source="mscons", area="!"), 400, "area", "format")
    MarketArea.objects.create(utility=market.utility, name="Second")
    assert_refused(post(token, b"x", source="mscons"), 400, "area", "no_area")
    named = encode_bytes(bytes(market.area.ledger_id))
    assert post(token, mscons(), source="mscons", area=named).status_code == 202


def test_strangers(market: Market, token: str) -> None:
    where = post(token, mscons(), source="mscons")["Location"]
    assert post("", mscons("67", "R2"), source="mscons").status_code == 401
    assert post("em_x", mscons("67", "R2"), source="mscons").status_code == 401
    elsewhere = Party.objects.create(name="Elsewhere", role=1, kind="organisation", ledger="elsewhere")
    other = token_of(elsewhere)
    MarketArea.objects.create(utility=elsewhere, name="There")
    assert get(other, where).status_code == 404
    assert Client().get(where).status_code == 401
    named = encode_bytes(bytes(market.area.ledger_id))
    assert post(other, mscons("67", "R2"), source="mscons", area=named).status_code == 404
    assert_refused(post(other, mscons("220", "R2"), source="mscons"), 422, "line 15, point", "unknown_point")
    ApiClient.objects.update(revoked_at=timezone.now())
    assert get(token, where).status_code == 401
    run_imports()
    assert Batch.objects.count() == 1
    assert json.loads(json.dumps(ReadingImport.objects.first().report))["bad"] == 1  # type: ignore[union-attr]

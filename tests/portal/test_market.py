"""Selling and buying on the pages, and what forms refuse."""

import re
from typing import Protocol

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation

from apps.accounts.models import User
from apps.ledger.choices import CommandState
from apps.ledger.models import Command
from apps.offers import services
from apps.offers.choices import OfferStatus
from apps.offers.models import Offer, Purchase
from apps.portal.forms import EnergyField, PriceField
from tests.conftest import signed_in
from tests.factories import MembershipFactory, UserFactory
from tests.portal.world import World

BAD_NUMBERS = [
    ("", "This field is required."),
    ("abc", "Write a number, such as 2.5."),
    ("0", "Write a number above zero."),
    ("-1", "Write a number above zero."),
    ("NaN", "Write a number, such as 2.5."),
    ("1e30", "Ensure that there are no more than"),
    ("1.2345", "Ensure that there are no more than 3 decimal places."),
    ("999999999999", "That is more than can be right."),
]


class Answer(Protocol):
    content: bytes


def text(response: Answer) -> str:
    return response.content.decode().replace("\u00a0", " ")


def token_of(page: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_an_offer_is_created_configured_and_published(world: World) -> None:
    client = world.client("alice")
    new = reverse("portal:new_offer", args=[world.declaration.pk])
    assert "9 kWh of alice" in text(client.get(new))
    response = client.post(new, {"energy_wh": "2.5", "price_micro": "17.5", "days": "3"})
    offer = Offer.objects.latest("pk")
    assert response.headers["Location"] == reverse("portal:offer", args=[offer.pk])
    assert (offer.energy_wh, offer.price_micro, offer.status) == (2_500, 175_000, OfferStatus.DRAFT)
    change = reverse("portal:change_offer", args=[offer.pk])
    assert 'value="17.5"' in text(client.get(change))
    client.post(change, {"energy_wh": "2", "price_micro": "18", "days": "1"})
    offer.refresh_from_db()
    assert (offer.energy_wh, offer.price_micro) == (2_000, 180_000)
    page = text(client.post(reverse("portal:publish", args=[offer.pk]), follow=True))
    assert "Your offer is on its way to the ledger." in page
    assert "Waiting for the ledger: queued" in page
    offer.refresh_from_db()
    assert offer.status == OfferStatus.OPEN
    page = text(client.post(reverse("portal:publish", args=[offer.pk]), follow=True))
    assert "Not done:" in page
    assert "This offer was published already." in page
    assert "no draft any more" in text(client.post(reverse("portal:discard", args=[offer.pk]), follow=True))


def test_more_than_the_surplus_is_refused_and_the_form_keeps_what_was_written(world: World) -> None:
    new = reverse("portal:new_offer", args=[world.declaration.pk])
    page = text(world.client("alice").post(new, {"energy_wh": "9.001", "price_micro": "17.5", "days": "3"}))
    assert "Only 9 kWh are left of this day." in page
    assert 'value="9.001"' in page
    assert 'value="17.5"' in page


@pytest.mark.parametrize(("written", "message"), BAD_NUMBERS)
def test_bad_numbers_are_refused_in_words(world: World, written: str, message: str) -> None:
    before = Offer.objects.count()
    new = reverse("portal:new_offer", args=[world.declaration.pk])
    page = text(world.client("alice").post(new, {"energy_wh": written, "price_micro": "10", "days": "3"}))
    assert message in page
    assert Offer.objects.count() == before


@pytest.mark.parametrize("days", ["", "2", "x"])
def test_an_offer_is_open_for_one_of_the_times_that_are_offered(world: World, days: str) -> None:
    before = Offer.objects.count()
    new = reverse("portal:new_offer", args=[world.declaration.pk])
    response = world.client("alice").post(new, {"energy_wh": "1", "price_micro": "10", "days": days})
    assert response.status_code == 200
    assert Offer.objects.count() == before


def test_numbers_are_read_in_the_readers_language() -> None:
    with translation.override("de"):
        assert EnergyField().clean("1,25") == 1_250
        assert PriceField("EUR").clean("18,2525") == 182_525
    with translation.override("en"):
        assert EnergyField().clean("0.001") == 1
        assert PriceField("COP").clean("812.35") == 812_350_000


def test_a_part_is_bought_after_the_exact_amount_was_shown(world: World) -> None:
    client, url = world.client("bob"), reverse("portal:buy", args=[world.offer.pk])
    form = {"energy_wh": "1.234", "point": str(world.bob_point.pk)}
    page = text(client.post(url, form))
    assert "1.234 kWh \u00d7 18.25 ct/kWh = 0.225205 EUR" in page
    assert "€0.23 will be due." in page
    assert Purchase.objects.filter(offer=world.offer).count() == 0
    sent = form | {"token": token_of(page)}
    page = text(client.post(url, sent, follow=True))
    purchase = Purchase.objects.get(offer=world.offer)
    assert (purchase.energy_wh, purchase.buyer) == (1_234, world.market.party("bob"))
    assert "1.234 kWh \u00d7 18.25 ct/kWh = 0.225205 EUR" in page
    assert "Waiting for the ledger: queued" in page
    # The same page sent again, by a second click or a second window, buys nothing more.
    page = text(client.post(url, sent, follow=True))
    assert "it was not made twice" in page
    assert Purchase.objects.filter(offer=world.offer).count() == 1
    assert "Bought from a neighbour" in text(client.get("/dues/"))


BAD_TOKENS = ["", "once", "0" * 63, "0" * 65, "0" * 300, "0" * 63 + "\x00", "\x00", "G" * 64, "\u0660" * 64]


@pytest.mark.parametrize("token", BAD_TOKENS)
def test_a_token_that_is_not_ours_is_refused_and_nothing_is_bought(world: World, token: str) -> None:
    form = {"energy_wh": "1", "point": str(world.bob_point.pk), "token": token}
    response = world.client("bob").post(reverse("portal:buy", args=[world.offer.pk]), form)
    assert response.status_code == 400
    assert "Nothing was changed." in text(response)
    assert Purchase.objects.filter(offer=world.offer).count() == 0


def test_a_purchase_that_failed_has_not_used_up_its_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    client, url = world.client("bob"), reverse("portal:buy", args=[world.offer.pk])
    form = {"energy_wh": "1", "point": str(world.bob_point.pk)}
    form |= {"token": token_of(text(client.post(url, form)))}
    with monkeypatch.context() as patch:
        patch.setattr("apps.offers.services._book", fail)
        with pytest.raises(RuntimeError):
            client.post(url, form)
    assert Purchase.objects.filter(offer=world.offer).count() == 0
    assert "Waiting for the ledger: queued" in text(client.post(url, form, follow=True))
    assert Purchase.objects.filter(offer=world.offer).count() == 1


def fail(*_args: object) -> None:
    raise RuntimeError("the database went away")


def test_a_token_is_a_persons_and_an_offers_own(world: World) -> None:
    url, token = reverse("portal:buy", args=[world.offer.pk]), "0" * 64
    second = UserFactory.make()
    MembershipFactory.make(user=second, party=world.market.party("bob"))
    for client in (world.client("bob"), signed_in(second)):
        client.post(url, {"energy_wh": "1", "point": str(world.bob_point.pk), "token": token})
    assert Purchase.objects.filter(offer=world.offer).count() == 2


def test_two_requests_at_once_make_one_purchase(world: World) -> None:
    def buy() -> Purchase:
        bob = world.bob_point
        return services.buy(offer=world.offer, buyer=bob.party, point=bob, energy_wh=3_000, purchase_id=b"p" * 32)

    # The second waits for the offer's row, which is sold out when it comes to it.
    assert buy() == buy()
    assert Purchase.objects.filter(offer=world.offer).count() == 1


def test_changing_ones_mind_leads_back_to_the_form(world: World) -> None:
    url = reverse("portal:buy", args=[world.offer.pk])
    form = {"energy_wh": "1.5", "point": str(world.bob_point.pk), "token": "0" * 64, "change": "1"}
    page = text(world.client("bob").post(url, form))
    assert 'value="1.5"' in page
    assert Purchase.objects.filter(offer=world.offer).count() == 0


def test_more_than_is_left_is_refused(world: World) -> None:
    url = reverse("portal:buy", args=[world.offer.pk])
    page = text(world.client("bob").post(url, {"energy_wh": "3.001", "point": str(world.bob_point.pk)}))
    assert "Only 3 kWh are left of this offer." in page


def test_an_offer_that_ended_meanwhile_is_refused_by_the_market(world: World) -> None:
    Offer.objects.filter(pk=world.offer.pk).update(status=OfferStatus.WITHDRAWN)
    url = reverse("portal:buy", args=[world.offer.pk])
    form = {"energy_wh": "1", "point": str(world.bob_point.pk), "token": "0" * 64}
    page = text(world.client("bob").post(url, form))
    assert "This offer is not open." in page
    assert Purchase.objects.filter(offer=world.offer).count() == 0


def test_the_market_lists_what_can_be_bought_and_by_whom(world: World) -> None:
    buy = reverse("portal:buy", args=[world.offer.pk])
    page = text(world.client("bob").get("/offers/"))
    assert buy in page
    assert "Showing 1 to 1 of 1" in page
    assert "18.25 ct/kWh" in page
    assert "You have made no offer yet." not in page
    assert "outsider" not in page.replace("outsider@", "")
    for person in ("alice", "outsider", "clerk", "auditor"):
        assert buy not in text(world.client(person).get("/offers/")), person
    assert "choose the day whose surplus you sell" in text(world.client("outsider").get("/offers/"))


def test_a_draft_is_seen_by_its_seller_alone(world: World) -> None:
    url = reverse("portal:offer", args=[world.draft.pk])
    assert [world.client(person).get(url).status_code for person in ("alice", "bob", "clerk")] == [200, 404, 404]


def test_the_seal_of_a_rejected_purchase_gives_the_reason(world: World) -> None:
    Command.objects.filter(command_id=world.purchase.command_id).update(state=CommandState.REJECTED, code=52)
    page = text(world.client("bob").get(reverse("portal:purchase", args=[world.purchase.pk])))
    assert "Somebody else was faster" in page


def test_name_and_language_are_saved(world: World) -> None:
    client: Client = world.client("alice")
    response = client.post("/account/", {"name": "Ana", "language": "es"}, follow=True)
    assert '<html lang="es">' in text(response)
    alice = User.objects.get(email="alice@example.org")
    assert (alice.name, alice.language) == ("Ana", "es")
    page = text(client.post("/account/", {"name": "Ana", "language": "xx"}))
    assert "xx" in page
    alice.refresh_from_db()
    assert alice.language == "es"

"""Webhooks as staff set them up, and the log of deliveries, which nobody writes by hand."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.choices import PartyKind
from apps.accounts.custody import seal
from apps.accounts.models import User
from apps.notifications.models import Delivery, Webhook
from apps.notifications.services.notices import tell
from tests.conftest import signed_in
from tests.factories import CustomerFactory
from tests.notifications.conftest import STANDING, People
from tests.notifications.test_notices import box

pytestmark = pytest.mark.django_db
ADD = "admin:notifications_webhook_add"


@pytest.fixture
def clerk(people: People) -> Client:
    User.objects.filter(pk__in=[people.clerk.pk, people.stranger.pk]).update(is_staff=True)
    return signed_in(User.objects.get(pk=people.clerk.pk))


def given(people: People, **change: Any) -> dict[str, Any]:
    return {"party": people.utility.pk, "url": "https://example.org/hook", "is_active": "on"} | change


def test_the_secret_is_shown_once_and_kept_sealed(people: People, clerk: Client) -> None:
    response = clerk.post(reverse(ADD), given(people, kinds=["test.standing"]), follow=True)
    hook = Webhook.objects.get()
    shown = re.search(r"shown only now: ([\w-]{43})", response.content.decode())
    assert shown is not None
    assert hook.secret == shown[1].encode()
    assert shown[1].encode() not in bytes(hook.sealed_secret)
    assert (hook.kinds, hook.is_active) == (["test.standing"], True)
    change = reverse("admin:notifications_webhook_change", args=[hook.pk])
    assert shown[1] not in clerk.get(change).content.decode()
    # Changed later, it keeps its secret.
    assert clerk.post(change, {"url": "https://example.org/other"}).status_code == 302
    again = Webhook.objects.get()
    assert (again.url, again.is_active, again.secret) == ("https://example.org/other", False, hook.secret)


@pytest.mark.parametrize("url", ["http://example.org/", "https://a:b@example.org/", "nonsense"])
def test_addresses_that_are_not_https_are_refused(people: People, clerk: Client, url: str) -> None:
    assert clerk.post(reverse(ADD), given(people, url=url)).status_code == 200
    assert not Webhook.objects.exists()


def test_only_organisations_of_the_utility_have_webhooks(people: People, clerk: Client) -> None:
    mine = CustomerFactory.make(utility=people.utility, kind=PartyKind.ORGANISATION)
    elsewhere = CustomerFactory.make(kind=PartyKind.ORGANISATION)
    for party, status in ((people.customer.pk, 200), (elsewhere.pk, 200), (mine.pk, 302)):
        assert clerk.post(reverse(ADD), given(people, party=party)).status_code == status
    assert [hook.party for hook in Webhook.objects.all()] == [mine]


def test_a_stranger_sees_nothing_of_it(people: People, clerk: Client) -> None:
    hook = Webhook.objects.create(party=people.utility, url="https://example.org/", sealed_secret=seal(b"x"))
    tell(STANDING, [box(people)])
    stranger = signed_in(User.objects.get(pk=people.stranger.pk))
    for name, pk in (("webhook", hook.pk), ("delivery", Delivery.objects.first().pk)):  # type: ignore[union-attr]
        change = reverse(f"admin:notifications_{name}_change", args=[pk])
        assert (clerk.get(change).status_code, stranger.get(change).status_code) == (200, 302)
        listed = reverse(f"admin:notifications_{name}_changelist")
        assert stranger.get(listed).context["cl"].queryset.count() == 0
        assert clerk.get(listed).context["cl"].queryset.count() > 0
    delete = reverse("admin:notifications_webhook_delete", args=[hook.pk])
    stranger.post(delete, {"post": "yes"})
    assert Webhook.objects.exists()


def test_the_log_is_only_to_look_at(people: People, clerk: Client) -> None:
    tell(STANDING, [box(people)])
    url = reverse("admin:notifications_delivery_change", args=[Delivery.objects.get().pk])
    assert clerk.post(url, {"state": "sent"}).status_code == 403
    assert clerk.get(reverse("admin:notifications_delivery_add")).status_code == 403

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.test import RequestFactory
from django.urls import reverse

from apps.accounts.models import User
from apps.web.navigation import Entry, Menu, Navigation, Visitor


def request(path: str, user: Visitor) -> HttpRequest:
    request = RequestFactory().get(path)
    request.user = user  # type: ignore[assignment]
    return request


def is_staff(user: Visitor) -> bool:
    return isinstance(user, User) and user.is_staff


@pytest.fixture
def navigation() -> Navigation:
    navigation = Navigation()
    navigation.register(Entry("Mail", "account_email", order=20))
    navigation.register(Entry("Sign in", "account_login", order=10, visible_to=lambda user: user.is_anonymous))
    navigation.register(Entry("Staff", "admin:index", order=30, visible_to=is_staff))
    navigation.register(Entry("Password", "account_change_password", order=5, menu=Menu.ACCOUNT))
    return navigation


def labels(navigation: Navigation, user: Visitor, menu: Menu = Menu.MAIN) -> list[str]:
    return [str(link.label) for link in navigation.links(menu, request("/", user))]


def test_everybody_sees_their_own_entries_in_order(navigation: Navigation) -> None:
    assert labels(navigation, AnonymousUser()) == ["Sign in"]
    assert labels(navigation, User(email="alice@example.org")) == ["Mail"]
    assert labels(navigation, User(email="staff@example.org", is_staff=True)) == ["Mail", "Staff"]


def test_the_account_menu_has_entries_of_its_own(navigation: Navigation) -> None:
    assert labels(navigation, User(email="alice@example.org"), Menu.ACCOUNT) == ["Password"]


def test_the_entry_above_the_open_page_is_current(navigation: Navigation) -> None:
    below = reverse("account_email") + "confirm/"
    links = navigation.links(Menu.MAIN, request(below, User(email="staff@example.org", is_staff=True)))
    assert [(link.label, link.current) for link in links] == [("Mail", True), ("Staff", False)]


def test_the_same_page_twice_is_refused(navigation: Navigation) -> None:
    with pytest.raises(ValueError, match="already"):
        navigation.register(Entry("Again", "account_email", order=1))

"""The entries of the page header. Apps register theirs in AppConfig.ready(); this module knows none of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise

if TYPE_CHECKING:
    # Loading models is not allowed yet when the modules of the AppConfigs import this one.
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

Visitor: TypeAlias = "AbstractBaseUser | AnonymousUser"


class Menu(StrEnum):
    """Where an entry stands: in the header, or in the menu under the person's name."""

    MAIN = "main"
    ACCOUNT = "account"


def signed_in(user: Visitor) -> bool:
    return user.is_authenticated


@dataclass(frozen=True, slots=True)
class Entry:
    """A link: lazily translated label, name of an address without arguments, who sees it, and its place (low first)."""

    label: str | Promise
    url_name: str
    order: int
    visible_to: Callable[[Visitor], bool] = signed_in
    menu: Menu = Menu.MAIN


@dataclass(frozen=True, slots=True)
class Link:
    """An entry as one request shows it."""

    label: str | Promise
    url: str
    current: bool


class Navigation:
    """The registered entries."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Menu, str], Entry] = {}

    def register(self, entry: Entry) -> None:
        """Add an entry. ValueError if its menu already leads to the same page."""
        key = (entry.menu, entry.url_name)
        if key in self._entries:
            raise ValueError(f"The {entry.menu} menu already has an entry for {entry.url_name}.")
        self._entries[key] = entry

    def links(self, menu: Menu, request: HttpRequest) -> list[Link]:
        """What the visitor of this request sees, in order; current is the entry under which the open page lies."""
        shown = sorted(
            (entry for entry in self._entries.values() if entry.menu is menu and entry.visible_to(request.user)),
            key=lambda entry: (entry.order, entry.url_name),
        )
        urls = [reverse(entry.url_name) for entry in shown]
        current = max((url for url in urls if _is_at(request.path, url)), key=len, default=None)
        return [Link(entry.label, url, url == current) for entry, url in zip(shown, urls, strict=True)]


def _is_at(path: str, url: str) -> bool:
    """The start page is current only itself; any other address also with what lies below it."""
    return path == url or (url != "/" and path.startswith(url if url.endswith("/") else f"{url}/"))


navigation = Navigation()

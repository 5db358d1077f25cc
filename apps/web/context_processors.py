"""What every page needs around its content."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from apps.web.navigation import Menu, navigation

PRODUCT_NAME = "Energymarket"


def page(request: HttpRequest) -> dict[str, Any]:
    """`product_name`, and the links of both menus; these are worked out only if a template shows them."""
    return {
        "product_name": PRODUCT_NAME,
        "main_links": SimpleLazyObject(lambda: navigation.links(Menu.MAIN, request)),
        "account_links": SimpleLazyObject(lambda: navigation.links(Menu.ACCOUNT, request)),
    }

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from apps.web import health
from apps.web.navigation import Entry, Menu, Visitor, navigation


def _works_for_utility(user: Visitor) -> bool:
    return bool(getattr(user, "is_staff", False))


class PortalConfig(AppConfig):
    name = "apps.portal"
    label = "portal"
    verbose_name = _("Customer portal")

    def ready(self) -> None:
        # The check needs the models, which are there only now.
        from apps.portal.health import check_ledgers

        health.register("ledger", check_ledgers)
        navigation.register(Entry(_("Today"), "portal:start", order=10))
        navigation.register(Entry(_("Metering points"), "portal:points", order=20))
        navigation.register(Entry(_("Readings"), "portal:completeness", order=25, visible_to=_works_for_utility))
        navigation.register(Entry(_("Market"), "portal:offers", order=30))
        navigation.register(Entry(_("Invoices"), "portal:invoices", order=40))
        navigation.register(Entry(_("Imports"), "portal:imports", order=45, visible_to=_works_for_utility))
        navigation.register(Entry(_("Ledger"), "portal:ledger", order=50, visible_to=_works_for_utility))
        navigation.register(Entry(_("Boxes"), "portal:fleet", order=48, visible_to=_works_for_utility))
        navigation.register(Entry(_("Your account"), "portal:account", order=10, menu=Menu.ACCOUNT))
        navigation.register(Entry(_("Who acts for you"), "portal:people", order=20, menu=Menu.ACCOUNT))

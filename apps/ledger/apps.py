from django.apps import AppConfig
from django.core.checks import register
from django.utils.translation import gettext_lazy as _


class LedgerConfig(AppConfig):
    name = "apps.ledger"
    label = "ledger"
    verbose_name = _("Ledger")

    def ready(self) -> None:
        # The checks need the models, which are there only now.
        from apps.ledger.checks import check_ledgers

        register(check_ledgers)

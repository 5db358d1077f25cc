from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SettlementConfig(AppConfig):
    name = "apps.settlement"
    label = "settlement"
    verbose_name = _("Settlement")

    def ready(self) -> None:
        # Consumers need the models, which are there only now.
        from apps.ledger.consumers import register_consumer
        from apps.settlement.consumer import CONSUMER

        register_consumer(CONSUMER)

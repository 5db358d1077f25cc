from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OffersConfig(AppConfig):
    name = "apps.offers"
    label = "offers"
    verbose_name = _("Sale offers and purchases")

    def ready(self) -> None:
        # Consumers need the models, which are there only now.
        from apps.ledger.consumers import register_consumer
        from apps.offers.consumer import CONSUMER

        register_consumer(CONSUMER)

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OffersConfig(AppConfig):
    name = "apps.offers"
    label = "offers"
    verbose_name = _("Sale offers and purchases")

    def ready(self) -> None:
        # Consumers and reconcilers need the models, which are there only now.
        from apps.ledger.consumers import register_consumer
        from apps.ledger.reconcilers import register_reconciler
        from apps.offers.consumer import CONSUMER
        from apps.offers.reconciler import RECONCILERS

        register_consumer(CONSUMER)
        for reconciler in RECONCILERS:
            register_reconciler(reconciler)

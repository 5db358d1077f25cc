from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MeteringConfig(AppConfig):
    name = "apps.metering"
    label = "metering"
    verbose_name = _("Metering")

    def ready(self) -> None:
        # Consumers need the models, which are there only now.
        from apps.ledger.consumers import register_consumer
        from apps.metering.consumer import CONSUMER

        register_consumer(CONSUMER)

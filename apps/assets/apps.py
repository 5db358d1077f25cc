from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AssetsConfig(AppConfig):
    name = "apps.assets"
    label = "assets"
    verbose_name = _("Market areas, metering points and plants")

    def ready(self) -> None:
        # Consumers need the models, which are there only now.
        from apps.assets.consumer import CONSUMER
        from apps.ledger.consumers import register_consumer

        register_consumer(CONSUMER)

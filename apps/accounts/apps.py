from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    label = "accounts"
    verbose_name = _("People and organisations")

    def ready(self) -> None:
        # Consumers need the models, which are there only now.
        from apps.accounts.consumer import CONSUMER
        from apps.ledger.consumers import register_consumer

        register_consumer(CONSUMER)

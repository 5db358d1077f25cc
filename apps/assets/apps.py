from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AssetsConfig(AppConfig):
    name = "apps.assets"
    label = "assets"
    verbose_name = _("Market areas, metering points and plants")

    def ready(self) -> None:
        # Consumers and reconcilers need the models, which are there only now.
        from apps.assets.consumer import CONSUMER
        from apps.assets.reconciler import RECONCILER
        from apps.ledger.consumers import register_consumer
        from apps.ledger.intake import register_intake, take_alone
        from apps.ledger.reconcilers import register_reconciler
        from evidence.commands.kinds import ChangePlantState

        register_consumer(CONSUMER)
        register_reconciler(RECONCILER)
        # The database keeps nothing of its own about these.
        register_intake(ChangePlantState, take_alone)

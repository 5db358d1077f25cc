from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SettlementConfig(AppConfig):
    name = "apps.settlement"
    label = "settlement"
    verbose_name = _("Settlement")

    def ready(self) -> None:
        # Consumers and reconcilers need the models, which are there only now.
        from apps.ledger.consumers import register_consumer
        from apps.ledger.intake import register_refusal
        from apps.ledger.reconcilers import register_reconciler
        from apps.settlement.consumer import CONSUMER
        from apps.settlement.reconciler import RECONCILER
        from evidence.commands.kinds import RecordSettlement

        register_consumer(CONSUMER)
        register_reconciler(RECONCILER)
        register_refusal(
            RecordSettlement, _("A settlement is computed here, from anchored readings and the day's purchases.")
        )

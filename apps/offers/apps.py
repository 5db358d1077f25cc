from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OffersConfig(AppConfig):
    name = "apps.offers"
    label = "offers"
    verbose_name = _("Sale offers and purchases")

    def ready(self) -> None:
        # Consumers and reconcilers need the models, which are there only now.
        from apps.ledger.consumers import register_consumer
        from apps.ledger.intake import register_intake, register_refusal
        from apps.ledger.reconcilers import register_reconciler
        from apps.offers import intake
        from apps.offers.consumer import CONSUMER
        from apps.offers.reconciler import RECONCILERS
        from evidence.commands import kinds

        register_consumer(CONSUMER)
        for reconciler in RECONCILERS:
            register_reconciler(reconciler)
        register_intake(kinds.PublishOffer, intake.take_publication)
        register_intake(kinds.CommitPurchase, intake.take_purchase)
        register_intake(kinds.WithdrawOffer, intake.take_withdrawal)
        register_intake(kinds.CloseOffer, intake.take_closing)
        register_refusal(kinds.DeclareSurplus, _("Surplus is computed here, from readings that are anchored."))

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class BillingConfig(AppConfig):
    name = "apps.billing"
    label = "billing"
    verbose_name = _("Billing")

    def ready(self) -> None:
        # Consumers and reconcilers need the models, which are there only now.
        from apps.billing.consumer import CONSUMER
        from apps.billing.reconciler import RECONCILER
        from apps.ledger.consumers import register_consumer
        from apps.ledger.intake import register_refusal
        from apps.ledger.reconcilers import register_reconciler
        from evidence.commands.kinds import RecordInvoice

        register_consumer(CONSUMER)
        register_reconciler(RECONCILER)
        register_refusal(RecordInvoice, _("Invoices are written and numbered here, without gaps."))

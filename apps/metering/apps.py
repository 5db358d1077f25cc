from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MeteringConfig(AppConfig):
    name = "apps.metering"
    label = "metering"
    verbose_name = _("Metering")

    def ready(self) -> None:
        # Consumers and reconcilers need the models, which are there only now.
        from apps.ledger.consumers import register_consumer
        from apps.ledger.intake import register_intake, take_alone
        from apps.ledger.reconcilers import register_reconciler
        from apps.metering.consumer import CONSUMER
        from apps.metering.reconciler import RECONCILERS
        from evidence.commands.kinds import ChangeDeviceState, ReportDailyEnergy

        register_consumer(CONSUMER)
        for reconciler in RECONCILERS:
            register_reconciler(reconciler)
        # The database keeps nothing of its own about these.
        register_intake(ChangeDeviceState, take_alone)
        register_intake(ReportDailyEnergy, take_alone)

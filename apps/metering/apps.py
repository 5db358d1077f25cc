from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MeteringConfig(AppConfig):
    name = "apps.metering"
    label = "metering"
    verbose_name = _("Metering")

    def ready(self) -> None:
        # Consumers and reconcilers need the models, which are there only now.
        from apps.ledger.consumers import register_consumer
        from apps.ledger.intake import register_intake, register_refusal, take_alone
        from apps.ledger.reconcilers import register_reconciler
        from apps.metering import intake
        from apps.metering.consumer import CONSUMER
        from apps.metering.fleet_notices import register_notices
        from apps.metering.reconciler import RECONCILERS
        from evidence.commands import kinds

        register_consumer(CONSUMER)
        register_notices()
        for reconciler in RECONCILERS:
            register_reconciler(reconciler)
        register_intake(kinds.RevokeDeviceKey, intake.take_revocation)
        register_intake(kinds.RotateDeviceKey, intake.take_rotation)
        register_intake(kinds.TransferDevice, intake.take_transfer)
        register_intake(kinds.ReportDailyEnergy, intake.take_report)
        # The database keeps nothing of its own about it.
        register_intake(kinds.ChangeDeviceState, take_alone)
        register_refusal(
            kinds.RegisterDevice,
            _("The utility registers it here: the digest in the registration is over details that only it keeps."),
        )
        register_refusal(kinds.AnchorReadings, _("Anchors are made here, from the batches that arrived."))

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
        from apps.ledger.intake import register_intake, register_refusal, take_alone
        from apps.ledger.reconcilers import register_reconciler
        from evidence.commands.kinds import ChangePlantState, RegisterPlant, TransferPlant

        register_consumer(CONSUMER)
        register_reconciler(RECONCILER)
        # The database keeps nothing of its own about this.
        register_intake(ChangePlantState, take_alone)
        register_refusal(
            RegisterPlant,
            _("The utility registers it here: the digest in the registration is over details that only it keeps."),
        )
        register_refusal(
            TransferPlant,
            _(
                "What a plant earned is credited to the owner it was registered for, and the verifier checks it so:"
                " a plant cannot change hands here yet."
            ),
        )

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    label = "accounts"
    verbose_name = _("People and organisations")

    def ready(self) -> None:
        # Consumers and reconcilers need the models, which are there only now.
        from apps.accounts.consumer import CONSUMER
        from apps.accounts.reconciler import RECONCILERS
        from apps.accounts.services.keys import take_rotation
        from apps.ledger.consumers import register_consumer
        from apps.ledger.intake import register_intake, register_refusal, take_alone
        from apps.ledger.reconcilers import register_reconciler
        from evidence.commands.kinds import ChangeParticipantState, RegisterParticipant, RotateParticipantKey

        register_consumer(CONSUMER)
        for reconciler in RECONCILERS:
            register_reconciler(reconciler)
        register_intake(RotateParticipantKey, take_rotation)
        # The database keeps nothing of its own about this.
        register_intake(ChangeParticipantState, take_alone)
        register_refusal(
            RegisterParticipant,
            _("The utility registers it here: the digest in the registration is over details that only it keeps."),
        )

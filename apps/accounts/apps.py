from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    label = "accounts"
    verbose_name = _("People and organisations")

    def ready(self) -> None:
        # Consumers and reconcilers need the models, which are there only now.
        from apps.accounts.consumer import CONSUMER
        from apps.accounts.reconciler import RECONCILER
        from apps.ledger.consumers import register_consumer
        from apps.ledger.intake import register_intake, take_alone
        from apps.ledger.reconcilers import register_reconciler
        from evidence.commands.kinds import ChangeParticipantState

        register_consumer(CONSUMER)
        register_reconciler(RECONCILER)
        # The database keeps nothing of its own about these.
        register_intake(ChangeParticipantState, take_alone)

from django.db import models
from django.utils.translation import gettext_lazy as _


class LedgerState(models.TextChoices):
    """Where an object stands on the ledger."""

    PENDING = "pending", _("waiting for the ledger")
    CONFIRMED = "confirmed", _("on the ledger")
    REJECTED = "rejected", _("rejected by the ledger")


class CommandState(models.TextChoices):
    QUEUED = "queued", _("queued")
    SENT = "sent", _("sent")
    CONFIRMED = "confirmed", _("confirmed")
    REJECTED = "rejected", _("rejected")


class TransactionState(models.TextChoices):
    PREPARED = "prepared", _("prepared")
    ACCEPTED = "accepted", _("accepted by the ledger")
    FINAL = "final", _("final")


class AttemptResult(models.TextChoices):
    RUNNING = "running", _("running")
    ACCEPTED = "accepted", _("accepted")
    TRANSIENT = "transient", _("ledger not reached")
    UNKNOWN = "unknown", _("outcome unknown")
    CONFLICT = "conflict", _("not applied, to be sent anew")
    FAILED = "failed", _("refused as a whole")

"""The outbox, what the ledger said, and how far each reader has come.

A command is written in the database transaction of the change it records. Its stream's row, locked first, gives it its
position; workers claim lanes of streams, never single commands.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.ledger.choices import AttemptResult, CommandState, LedgerState, TransactionState
from apps.ledger.fields import IdField
from evidence.hashing import ZERO

LANES = 8


class OnLedger(models.Model):
    """An object whose last change is, or will be, on the ledger. Kept in step by the app's event consumer."""

    ledger_state = models.CharField(
        _("on the ledger"), max_length=10, choices=LedgerState.choices, default=LedgerState.PENDING, editable=False
    )
    ledger_code = models.PositiveSmallIntegerField(_("rejected because"), null=True, editable=False)
    command_id = IdField(_("command"), null=True, unique=True, editable=False)

    class Meta:
        abstract = True

    @property
    def is_confirmed(self) -> bool:
        return self.ledger_state == LedgerState.CONFIRMED

    @property
    def predecessor(self) -> bytes:
        """The command that one about this object must wait for, zero when there is none to wait for."""
        return ZERO if self.is_confirmed or self.command_id is None else bytes(self.command_id)


class Stream(models.Model):
    """A conflict domain: its commands reach the ledger one after another, in the order of their positions."""

    ledger = models.CharField(max_length=50)
    domain = IdField()
    lane = models.PositiveSmallIntegerField()
    length = models.PositiveBigIntegerField(default=0)
    parked_by = models.ForeignKey(
        "ledger.Command", verbose_name=_("parked by"), null=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        verbose_name = _("stream")
        verbose_name_plural = _("streams")
        constraints: ClassVar = [models.UniqueConstraint(fields=["ledger", "domain"], name="ledger_stream_once")]

    def __str__(self) -> str:
        return bytes(self.domain).hex()[:16]


class Lane(models.Model):
    """What one worker at a time may push. The token rises with each claim: a worker that slept too long notices.

    `conflicts` counts transactions in a row that the ledger did not apply: from the second on they become smaller.
    """

    ledger = models.CharField(max_length=50)
    number = models.PositiveSmallIntegerField()
    token = models.PositiveBigIntegerField(default=0)
    leased_until = models.DateTimeField(null=True)
    conflicts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["ledger", "number"], name="ledger_lane_once")]

    def __str__(self) -> str:
        return f"{self.ledger}/{self.number}"


class Transaction(models.Model):
    """Signed bytes for the ledger, stored before they are sent. A lane has one at a time that is not yet final.

    `cost`: what they may cost at most, and once they are final, what they did, in the ledger's own smallest unit.
    """

    ledger = models.CharField(max_length=50)
    transaction_id = IdField(unique=True)
    lane = models.PositiveSmallIntegerField()
    payload = models.BinaryField()
    cost = models.DecimalField(_("cost"), max_digits=78, decimal_places=0, default=0, db_default=0)
    state = models.CharField(max_length=10, choices=TransactionState.choices, default=TransactionState.PREPARED)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("transaction")
        verbose_name_plural = _("transactions")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["ledger", "lane"],
                condition=~Q(state=TransactionState.FINAL),
                name="ledger_one_transaction_in_flight",
            )
        ]

    def __str__(self) -> str:
        return bytes(self.transaction_id).hex()[:16]

    @property
    def former(self) -> tuple[bytes, ...]:
        """The ids of the bytes that were replaced, the latest first."""
        return tuple(bytes(each.transaction_id) for each in self.replaced.order_by("-pk"))

    def is_known_as(self, transaction_id: bytes) -> bool:
        return bytes(self.transaction_id) == transaction_id or transaction_id in self.former


class Replaced(models.Model):
    """Bytes of a transaction that were sent, and for which others stand now: the ledger may still take these."""

    successor = models.ForeignKey(
        Transaction, verbose_name=_("transaction"), on_delete=models.CASCADE, related_name="replaced"
    )
    transaction_id = IdField(unique=True)
    payload = models.BinaryField()

    class Meta:
        verbose_name = _("replaced bytes")
        verbose_name_plural = _("replaced bytes")

    def __str__(self) -> str:
        return bytes(self.transaction_id).hex()[:16]


class Attempt(models.Model):
    """One try to send a transaction. Written before the try, so that a crash shows."""

    transaction = models.ForeignKey(Transaction, on_delete=models.CASCADE, related_name="attempts")
    result = models.CharField(max_length=10, choices=AttemptResult.choices, default=AttemptResult.RUNNING)
    message = models.TextField(blank=True)
    started_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        indexes: ClassVar = [models.Index(fields=["started_at"], name="ledger_attempt_started")]

    def __str__(self) -> str:
        return f"{self.transaction} {self.result}"


class Command(models.Model):
    """A command in the outbox, and its receipt once the ledger has answered."""

    command_id = IdField(_("command"), unique=True)
    stream = models.ForeignKey(Stream, on_delete=models.PROTECT, related_name="commands")
    position = models.PositiveBigIntegerField()
    kind = models.PositiveIntegerField()
    envelope = models.BinaryField()
    after = IdField(null=True)
    state = models.CharField(
        _("state"), max_length=10, choices=CommandState.choices, default=CommandState.QUEUED, db_index=True
    )
    code = models.PositiveSmallIntegerField(_("outcome"), null=True)
    ledger_time = models.PositiveBigIntegerField(null=True)
    event = models.PositiveBigIntegerField(_("entry"), null=True)
    transaction = models.ForeignKey(Transaction, null=True, on_delete=models.PROTECT, related_name="commands")
    created_at = models.DateTimeField(_("asked"), auto_now_add=True)

    class Meta:
        verbose_name = _("command")
        verbose_name_plural = _("commands")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["stream", "position"], name="ledger_command_position_once")
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["stream", "position"], name="ledger_command_queued", condition=Q(state=CommandState.QUEUED)
            )
        ]

    def __str__(self) -> str:
        return bytes(self.command_id).hex()[:16]


class Event(models.Model):
    """A final outcome, as the ledger told it. `origin` is the id of the ledger that it was taken over from, if any."""

    ledger = models.CharField(max_length=50)
    position = models.PositiveBigIntegerField()
    transaction_id = IdField()
    command_id = IdField(db_index=True)
    kind = models.PositiveIntegerField()
    code = models.PositiveSmallIntegerField()
    time = models.PositiveBigIntegerField()
    envelope = models.BinaryField()
    origin = IdField(null=True)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        constraints: ClassVar = [models.UniqueConstraint(fields=["ledger", "position"], name="ledger_event_once")]

    def __str__(self) -> str:
        return f"{self.ledger} {self.position}"


class Cursor(models.Model):
    """How far a reader of the events has come: the position it reads next, and the ledger's mark for it."""

    ledger = models.CharField(max_length=50)
    reader = models.CharField(max_length=50)
    position = models.PositiveBigIntegerField(default=0)
    mark = models.BinaryField(default=bytes)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["ledger", "reader"], name="ledger_cursor_once")]

    def __str__(self) -> str:
        return f"{self.reader}@{self.position}"

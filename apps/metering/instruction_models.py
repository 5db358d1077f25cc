"""What the utility told its devices to do, and what became of it."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.accounts.custody import open_secret, seal
from apps.accounts.permissions import Scope
from apps.ledger.fields import IdField
from apps.metering.choices import InstructionKind, InstructionState
from evidence import boxes


class Instruction(models.Model):
    """An instruction as it was signed; `body` is JSON. The answer is the device's own, signed with `answer_key`."""

    device = models.ForeignKey(
        "metering.Device", verbose_name=_("device"), on_delete=models.PROTECT, related_name="instructions"
    )
    sequence = models.PositiveBigIntegerField(_("sequence"))
    kind = models.PositiveIntegerField(_("kind"), choices=InstructionKind.choices)
    since = models.PositiveBigIntegerField()
    until = models.PositiveBigIntegerField()
    # Sealed: a configuration holds the secrets that salt readings.
    sealed_body = models.BinaryField(editable=False)
    issuer = IdField()
    signature = models.BinaryField(max_length=64)
    given_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("given by"), null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(_("given"), auto_now_add=True)
    received_at = models.DateTimeField(_("received by the device"), null=True, editable=False)
    state = models.PositiveSmallIntegerField(
        _("state"), choices=InstructionState.choices, default=InstructionState.PENDING
    )
    answer = models.BinaryField(null=True)
    answer_key = IdField(null=True)
    answer_at = models.PositiveBigIntegerField(null=True)
    answer_signature = models.BinaryField(max_length=64, null=True)
    answered_at = models.DateTimeField(_("answered"), null=True)

    class Meta:
        verbose_name = _("instruction to a device")
        verbose_name_plural = _("instructions to devices")
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["device", "sequence"], name="metering_instruction_sequence_once"),
            models.CheckConstraint(condition=models.Q(since__lt=models.F("until")), name="metering_instruction_window"),
        ]

    def __str__(self) -> str:
        return f"{self.device} · {self.sequence}"

    @property
    def body(self) -> bytes:
        return open_secret(bytes(self.sealed_body))

    @body.setter
    def body(self, content: bytes) -> None:
        self.sealed_body = seal(content)

    @property
    def scope(self) -> Scope:
        return self.device.scope

    @property
    def said(self) -> boxes.Instruction:
        """What the signature is over."""
        return boxes.Instruction(
            bytes(self.device.ledger_id),
            bytes(self.issuer),
            self.sequence,
            self.kind,
            self.since,
            self.until,
            boxes.body_hash(bytes(self.body)),
        )

    @property
    def is_expired(self) -> bool:
        """Nothing came back, and the device may no longer begin it."""
        return self.state == InstructionState.PENDING and self.until <= timezone.now().timestamp()

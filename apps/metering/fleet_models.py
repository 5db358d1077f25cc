"""What boxes say about themselves, what is wrong with them, and from when on something counts as wrong."""

from typing import ClassVar

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.accounts.permissions import Scope
from apps.assets.models import MarketArea
from apps.ledger.fields import IdField
from apps.metering.choices import AlarmKind


class BoxStatus(models.Model):
    """The newest that a device said about itself. `newest` in UTC seconds; `clock_offset` in seconds, fast above 0."""

    device = models.OneToOneField(
        "metering.Device", verbose_name=_("device"), on_delete=models.CASCADE, related_name="status"
    )
    sequence = models.PositiveBigIntegerField(_("sequence"))
    key_id = IdField()
    signature = models.BinaryField(max_length=64)
    body = models.BinaryField()
    received_at = models.DateTimeField(_("received"))
    version = models.CharField(_("version of the program"), max_length=50)
    readings = models.PositiveBigIntegerField(_("readings that wait"))
    batches = models.PositiveBigIntegerField(_("batches that wait"))
    growing_since = models.DateTimeField(_("backlog grows since"), null=True)
    newest = models.PositiveBigIntegerField(_("newest reading"), null=True)
    refused = models.PositiveBigIntegerField(_("refused batches"))
    errors = models.JSONField(_("errors"), default=list)
    free_disk = models.PositiveBigIntegerField(_("free disk (bytes)"))
    clock_offset = models.BigIntegerField(_("clock ahead by (s)"))

    class Meta:
        verbose_name = _("status of a box")
        verbose_name_plural = _("status of boxes")

    def __str__(self) -> str:
        return f"{self.device} · {self.sequence}"

    @property
    def scope(self) -> Scope:
        return self.device.scope


class Alarm(models.Model):
    """Something is wrong with a device since `opened_at`; closed when it no longer is, whoever looked at it."""

    device = models.ForeignKey(
        "metering.Device", verbose_name=_("device"), on_delete=models.CASCADE, related_name="alarms"
    )
    kind = models.CharField(_("kind"), max_length=20, choices=AlarmKind.choices)
    values = models.JSONField(_("values"), default=dict)
    opened_at = models.DateTimeField(_("since"))
    closed_at = models.DateTimeField(_("over"), null=True)
    acknowledged_at = models.DateTimeField(_("seen"), null=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("seen by"), null=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        verbose_name = _("alarm")
        verbose_name_plural = _("alarms")
        ordering: ClassVar = ["-opened_at", "-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["device", "kind"], condition=Q(closed_at=None), name="metering_alarm_open_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.device} · {self.get_kind_display()}"

    @property
    def scope(self) -> Scope:
        return self.device.scope


class Thresholds(models.Model):
    """From when on something about an area's devices is an alarm. An area without its own has the defaults."""

    area = models.OneToOneField(
        MarketArea, verbose_name=_("market area"), on_delete=models.CASCADE, related_name="thresholds"
    )
    silence_minutes = models.PositiveIntegerField(
        _("minutes without readings"), default=120, validators=[MinValueValidator(1)]
    )
    clock_seconds = models.PositiveIntegerField(
        _("seconds that a clock is off"), default=60, validators=[MinValueValidator(1)]
    )
    backlog_readings = models.PositiveIntegerField(
        _("readings that wait in a box"), default=500, help_text=_("An alarm only when they have become more and more.")
    )
    backlog_minutes = models.PositiveIntegerField(_("minutes for which they become more"), default=120)
    zero_days = models.PositiveSmallIntegerField(
        _("days on which a plant makes nothing by day"), default=2, validators=[MinValueValidator(1)]
    )
    consumption_factor = models.PositiveSmallIntegerField(
        _("times the same weekday's consumption"), default=5, validators=[MinValueValidator(2)]
    )
    consumption_least_wh = models.PositiveIntegerField(
        _("Wh of a day below which no consumption is unusual"), default=10_000
    )
    trouble_hours = models.PositiveSmallIntegerField(
        _("hours after a refused batch or key"),
        default=24,
        validators=[MinValueValidator(1)],
        help_text=_("So long after the last one the alarm stands."),
    )

    class Meta:
        verbose_name = _("thresholds of alarms")
        verbose_name_plural = _("thresholds of alarms")

    def __str__(self) -> str:
        return str(self.area)

    @property
    def scope(self) -> Scope:
        return self.area.scope

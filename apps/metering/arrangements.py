"""What is arranged about readings: which device measures what and when, substitutes that were decided, what a day has,

and points that are computed from others.
"""

import datetime as dt
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import Party, User
from apps.accounts.permissions import Scope
from apps.assets.models import MarketArea, MeteringPoint
from apps.ledger.fields import IdField, random_id
from apps.metering.choices import Register, Sign, SubstituteRule


class Measurement(models.Model):
    """A device measures registers of a metering point from `since` until `until` (excluded), UTC seconds on the grid.

    Without registers it measures all of them, without an end it still does. What a backup device reads informs, and
    never counts. Counters are the meter's own, in Wh or varh by number of register.
    """

    device = models.ForeignKey(
        "metering.Device", verbose_name=_("device"), on_delete=models.PROTECT, related_name="measurements"
    )
    point = models.ForeignKey(
        MeteringPoint,
        verbose_name=_("metering point"),
        on_delete=models.PROTECT,
        related_name="measurements",
        db_column="meteringpoint_id",
    )
    registers: "ArrayField[list[int], list[int]]" = ArrayField(
        models.PositiveSmallIntegerField(choices=Register.choices),
        verbose_name=_("registers"),
        default=list,
        db_default=[],
        blank=True,
    )
    since = models.PositiveBigIntegerField(_("since"), default=0, db_default=0)
    until = models.PositiveBigIntegerField(_("until"), null=True, blank=True)
    is_backup = models.BooleanField(_("informative only"), default=False, db_default=False)
    serial = models.CharField(_("meter's serial number"), max_length=50, blank=True, default="", db_default="")
    counters_in = models.JSONField(_("counters at installation"), default=dict, db_default={})
    counters_out = models.JSONField(_("counters at removal"), default=dict, db_default={})
    changed_by = models.ForeignKey(
        User, verbose_name=_("changed by"), null=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    changed_at = models.DateTimeField(_("changed"), null=True, editable=False)

    class Meta:
        # The table of the plain many-to-many relation, which it was first.
        db_table = "metering_device_points"
        verbose_name = _("measurement")
        verbose_name_plural = _("measurements")
        ordering: ClassVar = ["point", "since", "pk"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(until=None) | Q(since__lt=F("until")), name="metering_measured_since")
        ]

    def __str__(self) -> str:
        return f"{self.point} · {self.device}"

    @property
    def is_unlimited(self) -> bool:
        return not (self.registers or self.since or self.until or self.is_backup)

    def covers(self, register: int, slot: int) -> bool:
        in_time = self.since <= slot and (self.until is None or slot < self.until)
        return in_time and (not self.registers or register in self.registers)


class Decision(models.Model):
    """That readings which never came are substituted: by which rule, by whom and why. Nobody: by the area's setting."""

    area = models.ForeignKey(
        MarketArea, verbose_name=_("market area"), on_delete=models.PROTECT, related_name="decisions"
    )
    day = models.DateField(_("day"))
    rule = models.CharField(_("rule"), max_length=20, choices=SubstituteRule.choices)
    reason = models.TextField(_("reason"))
    decided_by = models.ForeignKey(
        User, verbose_name=_("decided by"), null=True, on_delete=models.PROTECT, related_name="decisions"
    )
    decided_at = models.DateTimeField(_("decided"), auto_now_add=True)
    count = models.PositiveIntegerField(_("readings"))

    class Meta:
        verbose_name = _("decision on substitutes")
        verbose_name_plural = _("decisions on substitutes")
        ordering: ClassVar = ["-decided_at"]

    def __str__(self) -> str:
        return f"{self.area} {self.day} · {self.count}"


class DayCount(models.Model):
    """How many readings an area's past local day should have, has, and has as substitutes, when they were counted."""

    area = models.ForeignKey(
        MarketArea, verbose_name=_("market area"), on_delete=models.CASCADE, related_name="day_counts"
    )
    day = models.DateField(_("day"))
    expected = models.PositiveIntegerField(_("expected"))
    present = models.PositiveIntegerField(_("present"))
    substituted = models.PositiveIntegerField(_("substituted"))
    counted_at = models.DateTimeField(_("counted"))

    class Meta:
        verbose_name = _("readings of a day")
        verbose_name_plural = _("readings by day")
        ordering: ClassVar = ["-day"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["area", "day"], name="metering_day_counted_once"),
            models.CheckConstraint(
                condition=Q(present__lte=F("expected")) & Q(substituted__lte=F("present")), name="metering_day_counts"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.area} {self.day}: {self.present}/{self.expected}"

    @property
    def missing(self) -> int:
        return self.expected - self.present


class VirtualPoint(models.Model):
    """A point that nothing measures: its registers are sums and differences of other points' registers."""

    ledger_id = IdField(default=random_id, unique=True, editable=False)
    area = models.ForeignKey(
        MarketArea, verbose_name=_("market area"), on_delete=models.PROTECT, related_name="virtual_points"
    )
    party = models.ForeignKey(
        Party,
        verbose_name=_("customer"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="virtual_points",
        help_text=_("Who may see it beside the utility."),
    )
    code = models.CharField(_("code"), max_length=50)
    name = models.CharField(_("name"), max_length=100, blank=True)

    class Meta:
        verbose_name = _("virtual point")
        verbose_name_plural = _("virtual points")
        ordering: ClassVar = ["code"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["area", "code"], name="metering_virtual_code_once")]

    def __str__(self) -> str:
        return self.name or self.code

    @property
    def scope(self) -> Scope:
        return Scope(self.area.utility_id, frozenset({self.party_id} if self.party_id else ()))


class Term(models.Model):
    """A register of another point that a virtual point's register adds or subtracts, on local days [since, until)."""

    of = models.ForeignKey(
        VirtualPoint, verbose_name=_("virtual point"), on_delete=models.CASCADE, related_name="terms"
    )
    register = models.PositiveSmallIntegerField(_("register"), choices=Register.choices)
    sign = models.SmallIntegerField(_("sign"), choices=Sign.choices, default=Sign.PLUS)
    point = models.ForeignKey(
        MeteringPoint,
        verbose_name=_("metering point"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="terms",
    )
    virtual = models.ForeignKey(
        VirtualPoint,
        verbose_name=_("or virtual point"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="used_by",
    )
    source_register = models.PositiveSmallIntegerField(_("its register"), choices=Register.choices)
    since = models.DateField(_("since"))
    until = models.DateField(_("until"), null=True, blank=True)

    class Meta:
        verbose_name = _("term")
        verbose_name_plural = _("terms")
        ordering: ClassVar = ["register", "pk"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(point=None, virtual__isnull=False) | Q(point__isnull=False, virtual=None),
                name="metering_term_of_one",
            ),
            models.CheckConstraint(condition=Q(until=None) | Q(since__lt=F("until")), name="metering_term_since"),
            models.CheckConstraint(condition=Q(sign__in=[-1, 1]), name="metering_term_sign"),
        ]

    def __str__(self) -> str:
        sign = "+" if self.sign > 0 else "-"
        return f"{sign} {self.point or self.virtual} {Register(self.source_register).label}"

    def clean(self) -> None:
        if (self.point is None) == (self.virtual is None):
            raise ValidationError(_("Choose either a metering point or a virtual point."))
        source = self.point or self.virtual
        if source is not None and source.area_id != self.of.area_id:
            raise ValidationError(_("It lies in another market area."))
        if self.register and self.source_register and self._units_differ():
            raise ValidationError(_("The two registers do not count in the same unit."))

    def _units_differ(self) -> bool:
        return Register(self.register).unit != Register(self.source_register).unit

    def holds_on(self, day: dt.date) -> bool:
        return self.since <= day and (self.until is None or day < self.until)

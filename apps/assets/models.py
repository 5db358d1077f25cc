"""Market areas, metering points with their occupants, and plants."""

import datetime as dt
from typing import ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import Party
from apps.accounts.permissions import Scope
from apps.assets.choices import Technology
from apps.ledger.fields import IdField, random_id
from apps.ledger.models import OnLedger
from market_math.money import MINOR_DIGITS
from market_math.slots import day_bounds


class MarketArea(models.Model):
    """Where people can trade with each other. Days are local to its time zone."""

    ledger_id = IdField(default=random_id, unique=True, editable=False)
    utility = models.ForeignKey(Party, verbose_name=_("utility"), on_delete=models.PROTECT, related_name="areas")
    name = models.CharField(_("name"), max_length=100)
    time_zone = models.CharField(_("time zone"), max_length=50, default="Europe/Berlin")
    currency = models.CharField(_("currency"), max_length=3, default="EUR")
    slot_minutes = models.PositiveSmallIntegerField(
        _("minutes of a slot"), default=15, choices=[(minutes, str(minutes)) for minutes in (5, 10, 15, 30, 60)]
    )

    trade_days = models.PositiveSmallIntegerField(
        _("days of trade"), default=3, help_text=_("For how many days after a day its surplus can be sold.")
    )
    substitute_days = models.PositiveSmallIntegerField(
        _("days until substitutes"),
        default=3,
        db_default=3,
        null=True,
        blank=True,
        help_text=_(
            "After how many days missing readings are substituted by rule. Empty: only when somebody decides so."
        ),
    )
    software_keys = models.BooleanField(
        _("boxes may keep their key in a file"),
        default=True,
        db_default=True,
        help_text=_("Switch off to enrol only boxes that show that their key cannot leave a security chip (TPM)."),
    )

    class Meta:
        verbose_name = _("market area")
        verbose_name_plural = _("market areas")
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Days must start on the grid of slots, in summer and in winter."""
        try:
            starts = [day_bounds(dt.date(2026, month, 1), self.zone)[0] for month in range(1, 13)]
        except (ZoneInfoNotFoundError, ValueError):
            raise ValidationError({"time_zone": _("There is no such time zone.")}) from None
        if any(start % self.slot_seconds for start in starts):
            raise ValidationError({"slot_minutes": _("Days of this time zone do not start on a slot of this length.")})
        if self.currency not in MINOR_DIGITS:
            raise ValidationError({"currency": _("This currency is not supported.")})

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def today(self) -> dt.date:
        return timezone.now().astimezone(self.zone).date()

    @property
    def slot_seconds(self) -> int:
        return self.slot_minutes * 60

    @property
    def scope(self) -> Scope:
        return Scope(self.utility_id)


class MeteringPoint(models.Model):
    """Where energy is measured. `party` is who lives or works there now."""

    ledger_id = IdField(default=random_id, unique=True, editable=False)
    area = models.ForeignKey(MarketArea, verbose_name=_("market area"), on_delete=models.PROTECT, related_name="points")
    party = models.ForeignKey(
        Party, verbose_name=_("customer"), on_delete=models.PROTECT, related_name="metering_points"
    )
    code = models.CharField(_("code"), max_length=50, help_text=_("Its official number, such as a MaLo or a CUPS."))
    name = models.CharField(_("name"), max_length=100, blank=True)
    city = models.CharField(_("place"), max_length=100, blank=True)

    class Meta:
        verbose_name = _("metering point")
        verbose_name_plural = _("metering points")
        ordering: ClassVar = ["code"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["area", "code"], name="assets_point_code_once")]

    def __str__(self) -> str:
        return self.name or self.code

    @property
    def scope(self) -> Scope:
        return Scope(self.area.utility_id, frozenset({self.party_id}))


class Occupancy(models.Model):
    """Who occupies a metering point, with K: the secret that salts that time's readings. Erasing it unlinks them."""

    point = models.ForeignKey(MeteringPoint, on_delete=models.PROTECT, related_name="occupancies")
    party = models.ForeignKey(Party, verbose_name=_("customer"), on_delete=models.PROTECT, related_name="occupancies")
    since = models.DateField(_("since"))
    until = models.DateField(_("until"), null=True, blank=True)
    sealed_secret = models.BinaryField(null=True, editable=False)

    class Meta:
        verbose_name = _("occupancy")
        verbose_name_plural = _("occupancies")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["point"], condition=Q(until=None), name="assets_one_current_occupant")
        ]

    def __str__(self) -> str:
        return f"{self.point} · {self.party}"


class Plant(OnLedger):
    """What produces energy, behind a metering point."""

    ledger_id = IdField(default=random_id, unique=True, editable=False)
    area = models.ForeignKey(MarketArea, verbose_name=_("market area"), on_delete=models.PROTECT, related_name="plants")
    point = models.OneToOneField(
        MeteringPoint, verbose_name=_("metering point"), on_delete=models.PROTECT, related_name="plant"
    )
    owner = models.ForeignKey(Party, verbose_name=_("owner"), on_delete=models.PROTECT, related_name="plants")
    name = models.CharField(_("name"), max_length=100)
    technology = models.CharField(_("technology"), max_length=20, choices=Technology.choices, default=Technology.SOLAR)
    power_w = models.PositiveBigIntegerField(
        _("installed power in W"), validators=[MinValueValidator(1), MaxValueValidator(10**12)]
    )
    since = models.DateField(_("since"), help_text=_("The first day for which its generation is measured."))
    salt = IdField(default=random_id, editable=False)

    class Meta:
        verbose_name = _("plant")
        verbose_name_plural = _("plants")
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def scope(self) -> Scope:
        return Scope(self.area.utility_id, frozenset({self.owner_id}))

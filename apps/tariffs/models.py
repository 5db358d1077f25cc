"""Prices of the utility, with the day from which they hold."""

import datetime as dt
from typing import ClassVar

from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.accounts.permissions import Scope
from apps.assets.models import MarketArea
from market_math.money import PPM


class TariffKind(models.TextChoices):
    SUPPLY = "supply", _("supply")
    FEED_IN = "feed_in", _("feed-in")


class Tariff(models.Model):
    area = models.ForeignKey(
        MarketArea, verbose_name=_("market area"), on_delete=models.PROTECT, related_name="tariffs"
    )
    kind = models.CharField(_("kind"), max_length=10, choices=TariffKind.choices)
    name = models.CharField(_("name"), max_length=100)

    class Meta:
        verbose_name = _("tariff")
        verbose_name_plural = _("tariffs")
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def scope(self) -> Scope:
        return Scope(self.area.utility_id)

    def price_on(self, day: dt.date) -> int:
        """Micro-currency per kWh. Raises `Price.DoesNotExist` before the first price."""
        return self.prices.filter(since__lte=day).latest("since").micro_per_kwh


class Price(models.Model):
    tariff = models.ForeignKey(Tariff, verbose_name=_("tariff"), on_delete=models.CASCADE, related_name="prices")
    since = models.DateField(_("since"))
    micro_per_kwh = models.PositiveBigIntegerField(_("price in micro-currency per kWh"))

    class Meta:
        verbose_name = _("price")
        verbose_name_plural = _("prices")
        ordering: ClassVar = ["since"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["tariff", "since"], name="tariffs_price_once")]

    def __str__(self) -> str:
        return f"{self.since}: {self.micro_per_kwh}"


class VatRate(models.Model):
    """Value added tax that holds in a market area, in parts per million."""

    area = models.ForeignKey(
        MarketArea, verbose_name=_("market area"), on_delete=models.PROTECT, related_name="vat_rates"
    )
    since = models.DateField(_("since"))
    ppm = models.PositiveIntegerField(_("rate in parts per million"), validators=[MaxValueValidator(PPM)])

    class Meta:
        verbose_name = _("VAT rate")
        verbose_name_plural = _("VAT rates")
        ordering: ClassVar = ["since"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["area", "since"], name="tariffs_vat_once")]

    def __str__(self) -> str:
        return f"{self.since}: {self.ppm}"

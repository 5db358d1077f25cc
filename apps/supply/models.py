"""Contracts with the utility: it supplies what nobody else does, and buys what nobody else buys."""

import datetime as dt
from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from apps.accounts.permissions import Scope
from apps.assets.models import MeteringPoint, Plant
from apps.ledger.fields import IdField, random_id
from apps.tariffs.models import Tariff, TariffKind


class Contract(models.Model):
    """A contract holds from the local day `since` to the day before `until`."""

    ledger_id = IdField(default=random_id, unique=True, editable=False)
    tariff = models.ForeignKey(Tariff, verbose_name=_("tariff"), on_delete=models.PROTECT, related_name="+")
    since = models.DateField(_("since"))
    until = models.DateField(_("until"), null=True, blank=True, help_text=_("The first day without the contract."))

    class Meta:
        abstract = True

    def _check(self, kind: str, area_id: int, others: "models.QuerySet[Contract]") -> None:
        if self.tariff.kind != kind or self.tariff.area_id != area_id:
            raise ValidationError({"tariff": _("This tariff is of another kind or market area.")})
        far = self.until or dt.date.max
        overlapping = others.filter(Q(until=None) | Q(until__gt=self.since), since__lt=far)
        if overlapping.exclude(pk=self.pk).exists():
            raise ValidationError({"since": _("Another contract holds in this time.")})


class SupplyContract(Contract):
    """The utility supplies what a metering point consumes and nothing else covers."""

    point = models.ForeignKey(
        MeteringPoint, verbose_name=_("metering point"), on_delete=models.PROTECT, related_name="supply_contracts"
    )

    class Meta:
        verbose_name = _("supply contract")
        verbose_name_plural = _("supply contracts")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(until=None) | Q(until__gt=F("since")), name="supply_contract_days")
        ]

    def __str__(self) -> str:
        return f"{self.point} · {self.tariff}"

    def clean(self) -> None:
        self._check(TariffKind.SUPPLY, self.point.area_id, SupplyContract.objects.filter(point=self.point))

    @property
    def scope(self) -> Scope:
        return self.point.scope


class FeedInContract(Contract):
    """Passive marketing: the utility buys at a fixed tariff what a plant produces and nobody else takes.

    `vat_ppm` is the tax that the seller owes on it, zero for small businesses.
    """

    plant = models.ForeignKey(
        Plant, verbose_name=_("plant"), on_delete=models.PROTECT, related_name="feed_in_contracts"
    )
    vat_ppm = models.PositiveIntegerField(_("VAT in parts per million"), default=0)

    class Meta:
        verbose_name = _("feed-in contract")
        verbose_name_plural = _("feed-in contracts")
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(until=None) | Q(until__gt=F("since")), name="feed_in_contract_days")
        ]

    def __str__(self) -> str:
        return f"{self.plant} · {self.tariff}"

    def clean(self) -> None:
        self._check(TariffKind.FEED_IN, self.plant.area_id, FeedInContract.objects.filter(plant=self.plant))

    @property
    def scope(self) -> Scope:
        return self.plant.scope

"""Surplus for sale: declarations, offers on them, and purchases."""

from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import Party
from apps.accounts.permissions import Scope
from apps.assets.models import MarketArea, MeteringPoint, Plant
from apps.ledger.fields import IdField, random_id
from apps.ledger.models import OnLedger
from apps.offers.choices import OfferStatus, SurplusMode
from market_math.money import amount


class Declaration(OnLedger):
    """How much of a plant's energy of a local day is there to be sold, as the utility states it.

    `offered_wh` counts offers that still wait for the ledger. It passes `energy_wh` for the moment in which the ledger
    applied another offer, sent by another way, and has yet to refuse one of ours.
    """

    ledger_id = IdField(default=random_id, unique=True, editable=False)
    area = models.ForeignKey(MarketArea, on_delete=models.PROTECT, related_name="declarations")
    plant = models.ForeignKey(Plant, verbose_name=_("plant"), on_delete=models.PROTECT, related_name="declarations")
    seller = models.ForeignKey(Party, verbose_name=_("seller"), on_delete=models.PROTECT, related_name="declarations")
    mode = models.PositiveSmallIntegerField(_("kind"), choices=SurplusMode.choices, default=SurplusMode.METERED)
    day = models.DateField(_("day of delivery"))
    start = models.PositiveBigIntegerField()
    end = models.PositiveBigIntegerField()
    energy_wh = models.PositiveBigIntegerField(_("surplus in Wh"))
    offered_wh = models.PositiveBigIntegerField(_("offered in Wh"), default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("declared surplus")
        verbose_name_plural = _("declared surplus")
        ordering: ClassVar = ["-day"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["plant", "day", "mode"], name="offers_declared_once"),
        ]

    def __str__(self) -> str:
        return f"{self.plant} {self.day}"

    @property
    def scope(self) -> Scope:
        return Scope(self.area.utility_id, frozenset({self.seller_id}))

    @property
    def available_wh(self) -> int:
        return max(0, self.energy_wh - self.offered_wh)


class ClosedDay(models.Model):
    """A day whose settlement has begun: nothing of it can be offered any more."""

    area = models.ForeignKey(MarketArea, on_delete=models.PROTECT, related_name="closed_days")
    day = models.DateField(_("day"))

    class Meta:
        verbose_name = _("closed day")
        verbose_name_plural = _("closed days")
        constraints: ClassVar = [models.UniqueConstraint(fields=["area", "day"], name="offers_day_closed_once")]

    def __str__(self) -> str:
        return f"{self.area} {self.day}"


class Offer(OnLedger):
    """A seller's offer on declared surplus: a draft first, then published for all to see.

    `committed_wh` counts purchases as `offered_wh` of the declaration counts offers, and may pass `energy_wh` likewise.
    """

    ledger_id = IdField(default=random_id, unique=True, editable=False)
    declaration = models.ForeignKey(Declaration, on_delete=models.PROTECT, related_name="offers")
    energy_wh = models.PositiveBigIntegerField(_("energy in Wh"), validators=[MinValueValidator(1)])
    price_micro = models.PositiveBigIntegerField(_("price in micro-currency per kWh"))
    committed_wh = models.PositiveBigIntegerField(_("sold in Wh"), default=0)
    open_until = models.DateTimeField(_("open until"))
    status = models.PositiveSmallIntegerField(_("status"), choices=OfferStatus.choices, default=OfferStatus.DRAFT)
    published_at = models.DateTimeField(_("published"), null=True)
    closing_id = IdField(null=True, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("sale offer")
        verbose_name_plural = _("sale offers")
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.declaration} · {self.energy_wh} Wh"

    @property
    def scope(self) -> Scope:
        return self.declaration.scope

    @property
    def remaining_wh(self) -> int:
        return max(0, self.energy_wh - self.committed_wh)


class Purchase(OnLedger):
    """A buyer's purchase of an offer or a part of it. `delivered_wh` is known once its day is settled."""

    ledger_id = IdField(default=random_id, unique=True, editable=False)
    offer = models.ForeignKey(Offer, verbose_name=_("offer"), on_delete=models.PROTECT, related_name="purchases")
    buyer = models.ForeignKey(Party, verbose_name=_("buyer"), on_delete=models.PROTECT, related_name="purchases")
    point = models.ForeignKey(
        MeteringPoint, verbose_name=_("metering point"), on_delete=models.PROTECT, related_name="purchases"
    )
    energy_wh = models.PositiveBigIntegerField(_("energy in Wh"), validators=[MinValueValidator(1)])
    price_micro = models.PositiveBigIntegerField(_("price in micro-currency per kWh"))
    delivered_wh = models.PositiveBigIntegerField(_("delivered in Wh"), null=True, editable=False)
    created_at = models.DateTimeField(_("bought"), auto_now_add=True)

    class Meta:
        verbose_name = _("purchase")
        verbose_name_plural = _("purchases")
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.buyer} · {self.energy_wh} Wh"

    @property
    def scope(self) -> Scope:
        seller = self.offer.declaration.seller_id
        return Scope(self.offer.declaration.area.utility_id, frozenset({self.buyer_id, seller}))

    @property
    def amount_nano(self) -> int:
        return amount(self.energy_wh, self.price_micro)

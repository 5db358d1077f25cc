"""Invoices and credit notes: numbers without gaps, lines that can be recomputed, documents that never change."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import Party
from apps.accounts.permissions import Scope
from apps.assets.models import MarketArea, MeteringPoint
from apps.ledger.choices import LedgerState
from apps.ledger.fields import IdField, random_id
from apps.ledger.models import OnLedger
from apps.settlement.models import Settlement


class DocumentKind(models.TextChoices):
    INVOICE = "invoice", _("invoice")
    CREDIT_NOTE = "credit_note", _("credit note")


class Series(models.Model):
    """A row of numbers of an issuer. The row is locked while a number is taken, so that there is no gap."""

    ledger_id = IdField(default=random_id, unique=True, editable=False)
    issuer = models.ForeignKey(Party, verbose_name=_("issuer"), on_delete=models.PROTECT, related_name="series")
    prefix = models.CharField(_("prefix"), max_length=20)
    last_number = models.PositiveBigIntegerField(_("last number"), default=0)

    class Meta:
        verbose_name = _("number series")
        verbose_name_plural = _("number series")
        constraints: ClassVar = [models.UniqueConstraint(fields=["issuer", "prefix"], name="billing_series_once")]

    def __str__(self) -> str:
        return self.prefix


class Invoice(OnLedger):
    """A document about a metering point and the local days from `start` to the day before `end`."""

    ledger_id = IdField(default=random_id, unique=True, editable=False)
    kind = models.CharField(_("kind"), max_length=12, choices=DocumentKind.choices)
    series = models.ForeignKey(Series, verbose_name=_("series"), on_delete=models.PROTECT, related_name="invoices")
    number = models.PositiveBigIntegerField(_("number"))
    area = models.ForeignKey(
        MarketArea, verbose_name=_("market area"), on_delete=models.PROTECT, related_name="invoices"
    )
    party = models.ForeignKey(Party, verbose_name=_("customer"), on_delete=models.PROTECT, related_name="invoices")
    point = models.ForeignKey(
        MeteringPoint, verbose_name=_("metering point"), on_delete=models.PROTECT, related_name="invoices"
    )
    start = models.DateField(_("from"))
    end = models.DateField(_("to"))
    currency = models.CharField(_("currency"), max_length=3)
    net_minor = models.BigIntegerField(_("net"))
    vat_minor = models.BigIntegerField(_("VAT"))
    total_minor = models.BigIntegerField(_("total"))
    salt = IdField(default=random_id, editable=False)
    document = models.BinaryField(editable=False)
    pdf = models.BinaryField(editable=False)
    issued_at = models.DateTimeField(_("issued"))
    settlements = models.ManyToManyField(Settlement, related_name="invoices")

    class Meta:
        verbose_name = _("invoice")
        verbose_name_plural = _("invoices")
        ordering: ClassVar = ["-issued_at", "-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["series", "number"], name="billing_number_once"),
            models.UniqueConstraint(
                fields=["kind", "point", "start"],
                condition=~Q(ledger_state=LedgerState.REJECTED),
                name="billing_period_once",
            ),
        ]

    def __str__(self) -> str:
        return self.full_number

    @property
    def full_number(self) -> str:
        return f"{self.series.prefix}{self.number:06d}"

    @property
    def scope(self) -> Scope:
        return Scope(self.area.utility_id, frozenset({self.party_id}))

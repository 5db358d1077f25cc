"""Double entry. What a customer owes the market is a debit on the customer's account; every entry sums to zero."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import Party
from apps.accounts.permissions import Scope
from apps.assets.models import MarketArea


class AccountKind(models.TextChoices):
    CUSTOMER = "customer", _("customer")
    SUPPLY = "supply", _("supply revenue")
    FEED_IN = "feed_in", _("feed-in cost")
    VAT = "vat", _("value added tax")
    ROUNDING = "rounding", _("rounding")


class EntryKind(models.TextChoices):
    PURCHASE = "purchase", _("purchase")
    PURCHASE_REVERSED = "purchase_reversed", _("purchase reversed")
    UNDELIVERED = "undelivered", _("not delivered")
    INVOICE = "invoice", _("invoice")


class Account(models.Model):
    """An account of a party in a market area."""

    area = models.ForeignKey(MarketArea, on_delete=models.PROTECT, related_name="accounts")
    party = models.ForeignKey(Party, on_delete=models.PROTECT, related_name="accounts")
    kind = models.CharField(_("kind"), max_length=10, choices=AccountKind.choices)

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["area", "party", "kind"], name="accounting_account_once")
        ]

    def __str__(self) -> str:
        return f"{self.party} · {self.get_kind_display()}"

    @property
    def scope(self) -> Scope:
        return Scope(self.area.utility_id, frozenset({self.party_id}))


class Entry(models.Model):
    """A booking. `reference` is the ledger id of what it is about, booked once per kind and version."""

    area = models.ForeignKey(MarketArea, on_delete=models.PROTECT, related_name="entries")
    kind = models.CharField(_("kind"), max_length=20, choices=EntryKind.choices)
    reference = models.BinaryField(max_length=32)
    version = models.PositiveIntegerField(default=0)
    day = models.DateField(_("day"))
    energy_wh = models.BigIntegerField(_("energy in Wh"), default=0)
    booked_at = models.DateTimeField(_("booked"), auto_now_add=True)

    class Meta:
        verbose_name = _("entry")
        verbose_name_plural = _("entries")
        ordering: ClassVar = ["-booked_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["kind", "reference", "version"], name="accounting_entry_once")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.day}"


class Posting(models.Model):
    """One side of an entry, in nano-currency: positive is a debit, negative a credit."""

    entry = models.ForeignKey(Entry, on_delete=models.PROTECT, related_name="postings")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="postings")
    nano = models.BigIntegerField(_("amount"))

    class Meta:
        verbose_name = _("posting")
        verbose_name_plural = _("postings")
        constraints: ClassVar = [models.CheckConstraint(condition=~Q(nano=0), name="accounting_posting_not_zero")]

    def __str__(self) -> str:
        return f"{self.account}: {self.nano}"

"""Settlement of an area and day, in versions. Who got what is in `settlement_allocation`, a partitioned table."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from apps.accounts.permissions import Scope
from apps.assets.models import MarketArea
from apps.ledger.fields import IdField, random_id
from apps.ledger.models import OnLedger
from apps.metering.models import Anchor


class Settlement(OnLedger):
    """A version of an area's day. It is final once its root is on the ledger; a correction is a new version."""

    area = models.ForeignKey(
        MarketArea, verbose_name=_("market area"), on_delete=models.PROTECT, related_name="settlements"
    )
    day = models.DateField(_("day"))
    version = models.PositiveIntegerField(_("version"))
    root = IdField()
    salt = IdField(default=random_id, editable=False)
    anchors = models.ManyToManyField(
        Anchor, verbose_name=_("anchors of the readings that it was made from"), related_name="settlements"
    )
    slots = models.PositiveSmallIntegerField(_("slots"))
    produced_wh = models.PositiveBigIntegerField(_("produced in Wh"))
    consumed_wh = models.PositiveBigIntegerField(_("consumed in Wh"))
    allocated_wh = models.PositiveBigIntegerField(_("allocated in Wh"))
    fed_in_wh = models.PositiveBigIntegerField(_("fed in, in Wh"))
    supplied_wh = models.PositiveBigIntegerField(_("supplied in Wh"))
    created_at = models.DateTimeField(_("computed"), auto_now_add=True)

    class Meta:
        verbose_name = _("settlement")
        verbose_name_plural = _("settlements")
        ordering: ClassVar = ["-day", "-version"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["area", "day", "version"], name="settlement_version_once"),
            models.CheckConstraint(
                condition=Q(produced_wh=F("allocated_wh") + F("fed_in_wh"))
                & Q(consumed_wh=F("allocated_wh") + F("supplied_wh")),
                name="settlement_adds_up",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.area} {self.day} v{self.version}"

    @property
    def scope(self) -> Scope:
        return Scope(self.area.utility_id)

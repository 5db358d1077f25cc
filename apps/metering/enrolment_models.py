"""How a box came into the market: the code that it was given, and what it found there."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.accounts.custody import open_secret
from apps.accounts.models import Party
from apps.accounts.permissions import Scope
from apps.assets.models import MarketArea, MeteringPoint
from apps.ledger.fields import IdField
from apps.metering.choices import EnrolmentState, MeterRole
from evidence.boxes import code_key
from evidence.keys import PublicKey


class EnrolmentCode(models.Model):
    """A one-time code and everything that happened with it, from the first knock of a box until it is live.

    The first box that shows that it knows the code binds it to its key.
    """

    area = models.ForeignKey(MarketArea, verbose_name=_("market area"), on_delete=models.PROTECT, related_name="codes")
    owner = models.ForeignKey(Party, verbose_name=_("owner"), on_delete=models.PROTECT, related_name="codes")
    name = models.CharField(_("name of the box"), max_length=100)
    planned = models.ManyToManyField(
        MeteringPoint, verbose_name=_("planned metering points"), blank=True, related_name="codes"
    )
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("made by"), on_delete=models.PROTECT, related_name="+"
    )
    installer = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("installer"), null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(_("made"), auto_now_add=True)
    expires_at = models.DateTimeField(_("valid until"))
    code_id = IdField(unique=True, editable=False)
    sealed_code = models.BinaryField(null=True, editable=False)
    state = models.CharField(
        _("state"), max_length=12, choices=EnrolmentState.choices, default=EnrolmentState.OPEN, editable=False
    )

    # The box that used it.
    algorithm = models.PositiveSmallIntegerField(null=True, editable=False)
    x = IdField(null=True, editable=False)
    y = IdField(null=True, editable=False)
    server = models.URLField(_("where it reaches the market"), blank=True, editable=False)
    agent = models.CharField(_("version of the agent"), max_length=50, blank=True, editable=False)
    problem = models.CharField(max_length=300, blank=True, editable=False)
    attestation = models.JSONField(null=True, editable=False)
    used_at = models.DateTimeField(_("used"), null=True, editable=False)
    seen_at = models.DateTimeField(_("last contact"), null=True, editable=False)

    device = models.OneToOneField(
        "metering.Device", null=True, on_delete=models.PROTECT, related_name="enrolment", editable=False
    )
    live_at = models.DateTimeField(_("live since"), null=True, editable=False)
    live_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    undone_at = models.DateTimeField(_("undone"), null=True, editable=False)
    undone_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        verbose_name = _("enrolment of a box")
        verbose_name_plural = _("enrolments of boxes")
        ordering: ClassVar = ["-created_at", "-pk"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(algorithm=None, x=None, y=None) | ~Q(algorithm=None) & ~Q(x=None) & ~Q(y=None),
                name="metering_whole_enrolment_key",
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def scope(self) -> Scope:
        people = {person for person in (self.made_by_id, self.installer_id) if person is not None}
        return Scope(self.area.utility_id, person_ids=frozenset(people))

    @property
    def code(self) -> str | None:
        """The code in its one form; None once the enrolment was undone."""
        return open_secret(bytes(self.sealed_code)).decode() if self.sealed_code is not None else None

    @property
    def key(self) -> bytes | None:
        """What both sides authenticate with."""
        code = self.code
        return None if code is None else code_key(code)

    @property
    def public_key(self) -> PublicKey | None:
        """Of the box that used the code."""
        if self.algorithm is None:
            return None
        return PublicKey(self.algorithm, bytes(self.x or b""), bytes(self.y or b""))

    @property
    def is_expired(self) -> bool:
        """Nobody has used it in time."""
        return self.used_at is None and self.expires_at <= timezone.now()


class FoundMeter(models.Model):
    """A meter that a box found, and what it is to measure. `settings` are those by which the box reads it."""

    enrolment = models.ForeignKey(EnrolmentCode, on_delete=models.CASCADE, related_name="meters")
    place = models.CharField(max_length=2000)
    settings = models.JSONField()
    description = models.CharField(_("meter"), max_length=200, blank=True)
    serial = models.CharField(_("serial number"), max_length=100, blank=True)
    energy = models.JSONField(default=dict)
    error = models.CharField(max_length=300, blank=True)
    read_at = models.DateTimeField(_("read"), null=True)
    role = models.CharField(_("measures"), max_length=12, choices=MeterRole.choices, default=MeterRole.NONE)
    point = models.ForeignKey(
        MeteringPoint, verbose_name=_("metering point"), null=True, on_delete=models.PROTECT, related_name="+"
    )
    # What the box read with the settings that it was given.
    tested_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("meter found by a box")
        verbose_name_plural = _("meters found by boxes")
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["enrolment", "place"], name="metering_found_once"),
            models.UniqueConstraint(
                fields=["enrolment", "point", "role"], condition=~Q(point=None), name="metering_one_meter_per_role"
            ),
        ]

    def __str__(self) -> str:
        return self.description or self.place

    @property
    def where(self) -> str:
        """The line and unit, in the words of the box's settings."""
        found: dict[str, Any] = self.settings
        line = found.get("bus") or found.get("gateway") or f"{found.get('host', '?')}:{found.get('port', '')}"
        return _now("%(line)s, unit %(unit)s") % {"line": line, "unit": found["unit"]} if "unit" in found else str(line)

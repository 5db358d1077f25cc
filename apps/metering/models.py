"""Devices and their keys, signed batches of readings, and anchors. The readings themselves are in `metering_reading`,

a partitioned table without foreign keys that migrations make by SQL; see `apps.metering.readings`.
"""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import Party
from apps.accounts.permissions import Scope
from apps.assets.models import MarketArea, MeteringPoint
from apps.ledger.fields import IdField, random_id
from apps.ledger.models import OnLedger
from apps.metering.arrangements import DayCount, Decision, Measurement, Term, VirtualPoint
from apps.metering.choices import Grade, Unit
from apps.metering.deliveries import MeasureDevice, PointSource, ReadingImport, TableLayout
from apps.metering.enrolment_models import EnrolmentCode, FoundMeter
from apps.metering.fleet_models import Alarm, BoxStatus, Thresholds
from apps.metering.instruction_models import Instruction
from evidence.keys import PublicKey
from evidence.readings import Statement

__all__ = [
    "Alarm",
    "Anchor",
    "Batch",
    "BoxStatus",
    "DailyReport",
    "DayCount",
    "Decision",
    "Device",
    "DeviceKey",
    "EnrolmentCode",
    "FoundMeter",
    "Instruction",
    "MeasureDevice",
    "Measurement",
    "PointSource",
    "ReadingImport",
    "TableLayout",
    "Term",
    "Thresholds",
    "VirtualPoint",
]


class Device(OnLedger):
    """A box beside the meter that signs what it read."""

    ledger_id = IdField(default=random_id, unique=True, editable=False)
    area = models.ForeignKey(
        MarketArea, verbose_name=_("market area"), on_delete=models.PROTECT, related_name="devices"
    )
    owner = models.ForeignKey(Party, verbose_name=_("owner"), on_delete=models.PROTECT, related_name="devices")
    points = models.ManyToManyField(
        MeteringPoint, verbose_name=_("metering points"), related_name="devices", through=Measurement
    )
    name = models.CharField(_("name"), max_length=100)
    salt = IdField(default=random_id, editable=False)
    last_contact = models.DateTimeField(_("last contact"), null=True, editable=False)
    last_sequence = models.PositiveBigIntegerField(_("last sequence"), default=0, db_default=0, editable=False)
    # The number of its newest poll of the channel: its clock in milliseconds, strictly rising.
    polled_at = models.PositiveBigIntegerField(default=0, editable=False)
    # UTC seconds: up to where any of its batches came.
    newest_end = models.PositiveBigIntegerField(null=True, editable=False)
    refused_at = models.DateTimeField(_("last refused batch"), null=True, editable=False)
    refused_rule = models.CharField(_("why it was refused"), max_length=50, blank=True, db_default="", editable=False)

    class Meta:
        verbose_name = _("device")
        verbose_name_plural = _("devices")
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def scope(self) -> Scope:
        return Scope(self.area.utility_id, frozenset({self.owner_id}))


class DeviceKey(models.Model):
    """A key that speaks for a device from `since_day` on. One that was exchanged speaks about the days before the next
    one's first, until `grace_until`.
    """

    device = models.ForeignKey(Device, verbose_name=_("device"), on_delete=models.PROTECT, related_name="keys")
    key_id = IdField(editable=False)
    algorithm = models.PositiveSmallIntegerField()
    x = IdField()
    y = IdField()
    # What brought and what ended it, as the ledger told; the first key came with the device.
    rotation_id = IdField(null=True, editable=False)
    revocation_id = IdField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    since_day = models.DateField(_("first day"), null=True, editable=False)
    grace_until = models.DateTimeField(_("exchanged, accepted until"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)
    # When something signed with it came although it was revoked.
    misused_at = models.DateTimeField(_("used after its revocation"), null=True, editable=False)

    class Meta:
        verbose_name = _("device key")
        verbose_name_plural = _("device keys")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["key_id", "device"], name="metering_key_once"),
            models.UniqueConstraint(
                fields=["device"], condition=Q(revoked_at=None, grace_until=None), name="metering_one_current_key"
            ),
        ]

    def __str__(self) -> str:
        return bytes(self.key_id).hex()[:16]

    @property
    def public_key(self) -> PublicKey:
        return PublicKey(self.algorithm, bytes(self.x), bytes(self.y))


class DailyReport(models.Model):
    """A local day's total as a device reported it on the ledger, whichever way it went there. In Wh."""

    device = models.ForeignKey(Device, verbose_name=_("device"), on_delete=models.PROTECT, related_name="daily_reports")
    day = models.DateField(_("day"))
    generated = models.PositiveBigIntegerField(_("generated (Wh)"))
    imported = models.PositiveBigIntegerField(_("taken from the grid (Wh)"))
    exported = models.PositiveBigIntegerField(_("given to the grid (Wh)"))
    command_id = IdField()
    reported_at = models.DateTimeField(_("on the ledger since"))

    class Meta:
        verbose_name = _("daily report")
        verbose_name_plural = _("daily reports")
        ordering: ClassVar = ["-day", "device"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["device", "day"], name="metering_one_report_a_day")]

    def __str__(self) -> str:
        return f"{self.device} {self.day}"


class Anchor(OnLedger):
    """A root on the ledger over batches of an area and day, in the order in which they were claimed."""

    area = models.ForeignKey(
        MarketArea, verbose_name=_("market area"), on_delete=models.PROTECT, related_name="anchors"
    )
    day = models.DateField(_("day"))
    start = models.PositiveBigIntegerField()
    end = models.PositiveBigIntegerField()
    count = models.PositiveIntegerField(_("batches"))
    root = IdField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("anchor")
        verbose_name_plural = _("anchors")
        ordering: ClassVar = ["-day", "-id"]

    def __str__(self) -> str:
        return f"{self.area} {self.day} · {self.count}"


class Batch(models.Model):
    """A statement about readings, signed by a device or by the operator who imported them."""

    area = models.ForeignKey(
        MarketArea, verbose_name=_("market area"), on_delete=models.PROTECT, related_name="batches"
    )
    device = models.ForeignKey(
        Device, verbose_name=_("device"), null=True, on_delete=models.PROTECT, related_name="batches"
    )
    importer = models.ForeignKey(
        Party, verbose_name=_("importer"), null=True, on_delete=models.PROTECT, related_name="batches"
    )
    signer = IdField()  # the ledger id of the device or importer, as the statement names it
    key_id = IdField()
    sequence = models.PositiveBigIntegerField(_("sequence"))
    day = models.DateField(_("day"))
    start = models.PositiveBigIntegerField()
    end = models.PositiveBigIntegerField()
    unit = models.PositiveSmallIntegerField(_("unit"), choices=Unit.choices, db_default=Unit.WH)
    count = models.PositiveIntegerField(_("readings"))
    root = IdField()
    signature = models.BinaryField(max_length=64)
    grade = models.PositiveSmallIntegerField(_("evidence"), choices=Grade.choices)
    received_at = models.DateTimeField(_("received"), auto_now_add=True)
    decision = models.ForeignKey(
        Decision, verbose_name=_("decision"), null=True, on_delete=models.PROTECT, related_name="batches"
    )
    brought_by = models.ForeignKey(
        ReadingImport, verbose_name=_("import"), null=True, on_delete=models.PROTECT, related_name="batches"
    )
    anchor = models.ForeignKey(
        Anchor, verbose_name=_("anchor"), null=True, on_delete=models.PROTECT, related_name="batches"
    )
    anchor_index = models.PositiveIntegerField(null=True)

    class Meta:
        verbose_name = _("batch of readings")
        verbose_name_plural = _("batches of readings")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["signer", "sequence"], name="metering_sequence_once"),
            models.UniqueConstraint(fields=["anchor", "anchor_index"], name="metering_anchor_index_once"),
            models.CheckConstraint(
                condition=Q(device=None, importer__isnull=False) | Q(device__isnull=False, importer=None),
                name="metering_one_signer",
            ),
            models.CheckConstraint(condition=Q(start__lt=F("end")), name="metering_batch_window"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["area", "id"], name="metering_not_anchored", condition=Q(anchor=None))
        ]

    def __str__(self) -> str:
        return f"{self.day} · {self.sequence}"

    @property
    def statement(self) -> Statement:
        return Statement(
            bytes(self.signer),
            bytes(self.key_id),
            self.sequence,
            self.start,
            self.end,
            self.unit,
            self.count,
            bytes(self.root),
        )

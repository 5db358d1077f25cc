"""Files and documents with readings: what was agreed about them, and what came."""

import datetime as dt
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import ApiClient, Party, User
from apps.accounts.permissions import Scope
from apps.assets.models import MarketArea, MeteringPoint
from apps.metering.choices import ImportState, Placement, Register, Shape, SourceKey, Use
from apps.metering.formats.base import Refused, ValueUnit
from apps.metering.formats.tables import Layout, layout_from
from evidence import readings


class PointSource(models.Model):
    """What readings of one source are at a metering point. Without a row, they count."""

    point = models.ForeignKey(
        MeteringPoint, verbose_name=_("metering point"), on_delete=models.CASCADE, related_name="sources"
    )
    source = models.CharField(_("source"), max_length=20, choices=SourceKey.choices)
    use = models.CharField(_("use"), max_length=20, choices=Use.choices, default=Use.BILLING)
    placement = models.CharField(
        _("import and export are"),
        max_length=10,
        choices=Placement.choices,
        default=Placement.SITE,
        help_text=_(
            "A meter at the grid connection of a house with a plant counts neither consumption nor generation."
        ),
    )

    class Meta:
        verbose_name = _("source of readings")
        verbose_name_plural = _("sources of readings")
        constraints: ClassVar = [models.UniqueConstraint(fields=["point", "source"], name="metering_point_source_once")]

    def __str__(self) -> str:
        return f"{self.point} · {self.get_source_display()}"

    @property
    def scope(self) -> Scope:
        return self.point.scope


class TableLayout(models.Model):
    """How the tables of a metering operator are laid out. Columns go by their names."""

    area = models.ForeignKey(
        MarketArea, verbose_name=_("market area"), on_delete=models.CASCADE, related_name="table_layouts"
    )
    name = models.CharField(_("name"), max_length=100)
    shape = models.CharField(_("shape"), max_length=10, choices=Shape.choices, default=Shape.LONG)
    header = models.PositiveSmallIntegerField(_("line of column names"), default=1)
    delimiter = models.CharField(_("columns part at"), max_length=1, default=";")
    decimal = models.CharField(_("decimals part at"), max_length=1, default=",", choices=[(",", ","), (".", ".")])
    encoding = models.CharField(
        _("encoding"), max_length=20, default="utf-8-sig", choices=[("utf-8-sig", "UTF-8"), ("cp1252", "Windows-1252")]
    )
    time = models.CharField(_("column of the time"), max_length=100)
    date = models.CharField(_("column of the date, if apart"), max_length=100, blank=True)
    form = models.CharField(
        _("form of times"), max_length=50, blank=True, help_text=_("As %d.%m.%Y %H:%M; empty for ISO 8601.")
    )
    is_local = models.BooleanField(_("times are local, with summer time"), default=True)
    at_end = models.BooleanField(_("times name the end of their period"), default=False)
    minutes = models.PositiveSmallIntegerField(
        _("minutes of a period"), default=15, choices=[(minutes, str(minutes)) for minutes in (1, 5, 10, 15, 30, 60)]
    )
    unit = models.CharField(
        _("unit"), max_length=20, default=ValueUnit.KWH.value, choices=[(unit.value, unit.value) for unit in ValueUnit]
    )
    point = models.CharField(_("column of the metering point"), max_length=100, blank=True)
    register = models.CharField(_("column of the register"), max_length=100, blank=True)
    fixed_register = models.PositiveSmallIntegerField(
        _("register, without a column of it"), choices=Register.choices, default=Register.GRID_IMPORT
    )
    value = models.CharField(_("column of the value"), max_length=100, blank=True)
    quality = models.CharField(_("column of the quality"), max_length=100, blank=True)
    substitutes = models.CharField(
        _("marks of substitutes"), max_length=100, blank=True, help_text=_("Separated by spaces.")
    )
    series = models.JSONField(
        _("columns of series"),
        default=dict,
        blank=True,
        help_text=_('For a column per series: {"column": ["metering point", "register or OBIS"]}.'),
    )

    class Meta:
        verbose_name = _("table layout")
        verbose_name_plural = _("table layouts")
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["area", "name"], name="metering_layout_name_once")]

    def __str__(self) -> str:
        return self.name

    @property
    def scope(self) -> Scope:
        return self.area.scope

    def clean(self) -> None:
        if self.shape == Shape.LONG and not (self.point and self.value):
            raise ValidationError({"point": _("A row per value needs the columns of metering point and value.")})
        if self.shape == Shape.WIDE and not self._is_series(self.series):
            raise ValidationError({"series": _("Give metering point and register of each column.")})
        try:
            self.as_layout()
            dt.datetime(2026, 1, 1, tzinfo=dt.UTC).strftime(self.form)
        except (Refused, ValueError) as error:
            raise ValidationError(str(error)) from None

    @staticmethod
    def _is_series(series: Any) -> bool:
        if not isinstance(series, dict) or not series:
            return False
        pairs = (isinstance(pair, list) and len(pair) == 2 for pair in series.values())
        return all(pairs) and all(isinstance(text, str) for pair in series.values() for text in pair)

    def as_layout(self) -> Layout:
        """Raises `Refused` for a register that is none."""
        names = ("time", "date", "form", "at_end", "delimiter", "decimal", "encoding", "header")
        settings = {name: getattr(self, name) for name in names}
        if self.shape == Shape.LONG:
            settings |= {name: getattr(self, name) for name in ("point", "register", "value", "quality")}
        settings |= {
            "seconds": self.minutes * 60,
            "unit": ValueUnit(self.unit),
            "substitutes": frozenset(self.substitutes.split()),
            "fixed_register": readings.Register(self.fixed_register),
        }
        series = self.series if self.shape == Shape.WIDE else {}
        return layout_from(settings, series, self.area.zone if self.is_local else None)


class ReadingImport(models.Model):
    """A file or document that came, who sent it, what was found in it and what became of it.

    `content` is kept until it is decided and stored. `report` is that of `apps.metering.services.intake`. Who stores it
    holds `lease_until`, and `attempt` tells one that took over from one that only was slow.
    """

    area = models.ForeignKey(
        MarketArea, verbose_name=_("market area"), on_delete=models.PROTECT, related_name="reading_imports"
    )
    source = models.CharField(_("source"), max_length=20, choices=SourceKey.choices)
    layout = models.ForeignKey(
        TableLayout, verbose_name=_("table layout"), null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    name = models.CharField(_("file"), max_length=200)
    reference = models.CharField(_("interchange"), max_length=64, blank=True)
    sha256 = models.BinaryField(max_length=32)
    size = models.PositiveIntegerField(_("bytes"))
    content = models.BinaryField(null=True, editable=False)
    person = models.ForeignKey(
        User, verbose_name=_("person"), null=True, on_delete=models.SET_NULL, related_name="reading_imports"
    )
    client = models.ForeignKey(
        ApiClient, verbose_name=_("API client"), null=True, on_delete=models.PROTECT, related_name="reading_imports"
    )
    device = models.ForeignKey(
        "metering.Device", verbose_name=_("device"), null=True, on_delete=models.PROTECT, related_name="+"
    )
    keep_good = models.BooleanField(_("good rows of a file with bad ones"), default=False)
    state = models.CharField(_("state"), max_length=20, choices=ImportState.choices, default=ImportState.CHECKED)
    report = models.JSONField(default=dict)
    total = models.PositiveIntegerField(_("metering points"), default=0)
    done = models.PositiveIntegerField(_("of them stored"), default=0)
    stored = models.PositiveIntegerField(_("readings stored"), default=0)
    attempt = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(_("received"), auto_now_add=True)
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        verbose_name = _("import of readings")
        verbose_name_plural = _("imports of readings")
        ordering: ClassVar = ["-created_at", "-pk"]
        constraints: ClassVar = [
            # An interchange is stored once, however often it comes.
            models.UniqueConstraint(
                fields=["area", "source", "reference"],
                condition=~Q(reference="")
                & Q(state__in=[ImportState.QUEUED, ImportState.RUNNING, ImportState.STOPPED, ImportState.STORED]),
                name="metering_interchange_once",
            )
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["id"],
                name="metering_import_open",
                condition=Q(state__in=[ImportState.QUEUED, ImportState.RUNNING]),
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def scope(self) -> Scope:
        return self.area.scope

    @property
    def sender(self) -> str:
        return str(self.person or self.client or self.device or "")


class MeasureDevice(models.Model):
    """A device that measure documents speak of, as they describe it. Staff says which metering point it is at.

    `counters` are the last readings of counters, by number of register: UTC seconds, and a decimal in Wh or varh.
    """

    utility = models.ForeignKey(
        Party, verbose_name=_("utility"), on_delete=models.PROTECT, related_name="measure_devices"
    )
    identifier = models.CharField(_("identifier"), max_length=100)
    name = models.CharField(_("name"), max_length=200, blank=True)
    point = models.ForeignKey(
        MeteringPoint,
        verbose_name=_("metering point"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="measure_devices",
    )
    device = models.ForeignKey(
        "metering.Device",
        verbose_name=_("box that speaks for it"),
        null=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="measure_devices",
    )
    description = models.JSONField(_("description"), default=list, editable=False)
    counters = models.JSONField(default=dict, editable=False)
    last_contact = models.DateTimeField(_("last contact"), null=True, editable=False)

    class Meta:
        verbose_name = _("device of measure documents")
        verbose_name_plural = _("devices of measure documents")
        ordering: ClassVar = ["name", "identifier"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["utility", "identifier"], name="metering_measure_device_once")
        ]

    def __str__(self) -> str:
        return self.name or self.identifier

    @property
    def scope(self) -> Scope:
        return Scope(self.utility_id)

    def clean(self) -> None:
        if self.point is not None and self.point.area.utility_id != self.utility_id:
            raise ValidationError({"point": _("This metering point is another utility's.")})

from django.db import models
from django.utils.translation import gettext_lazy as _

from evidence import boxes, readings


class Register(models.IntegerChoices):
    CONSUMPTION = readings.Register.CONSUMPTION, _("consumption")
    GENERATION = readings.Register.GENERATION, _("generation")
    GRID_IMPORT = readings.Register.GRID_IMPORT, _("import from the grid")
    GRID_EXPORT = readings.Register.GRID_EXPORT, _("export to the grid")
    REACTIVE_1 = readings.Register.REACTIVE_1, _("reactive energy, quadrant 1")
    REACTIVE_2 = readings.Register.REACTIVE_2, _("reactive energy, quadrant 2")
    REACTIVE_3 = readings.Register.REACTIVE_3, _("reactive energy, quadrant 3")
    REACTIVE_4 = readings.Register.REACTIVE_4, _("reactive energy, quadrant 4")

    @property
    def unit(self) -> "Unit":
        return Unit(readings.Register(self.value).unit)


# What settlement gives to somebody. The other registers are kept and shown, and never settled.
SETTLED = (readings.Register.CONSUMPTION, readings.Register.GENERATION)
ACTIVE = tuple(register for register in readings.Register if register.unit == readings.Unit.WH)


class Unit(models.IntegerChoices):
    WH = readings.Unit.WH, "Wh"
    VARH = readings.Unit.VARH, "varh"


class Sign(models.IntegerChoices):
    PLUS = 1, _("plus")
    MINUS = -1, _("minus")


class SubstituteRule(models.TextChoices):
    EARLIER_DAY = "earlier_day", _("the same time of an earlier day")


class Grade(models.IntegerChoices):
    DEVICE_SIGNED = readings.Grade.DEVICE_SIGNED, _("signed by the meter")
    OPERATOR_SIGNED = readings.Grade.OPERATOR_SIGNED, _("signed by the operator who imported it")
    SUBSTITUTE = readings.Grade.SUBSTITUTE, _("substitute value")


class Use(models.TextChoices):
    """What readings of a source are good for at a metering point."""

    BILLING = "billing", _("counts")
    INFORMATIVE = "informative", _("informs only")
    REFUSED = "refused", _("is not taken")


class Placement(models.TextChoices):
    """What import and export of a meter are: the site's own consumption and generation, or what crosses to the grid."""

    SITE = "site", _("consumption and generation")
    GRID = "grid", _("import from and export to the grid")


class SourceKey(models.TextChoices):
    """Where readings come from that no box signs."""

    PROFILE = "profile", _("load profiles")
    CSV = "csv", _("CSV table")
    XLSX = "xlsx", _("XLSX table")
    MSCONS = "mscons", _("MSCONS")
    SPANISH = "spanish", _("P1D, F5D and the like")
    MEASURES = "measures", _("measure documents")


class ImportState(models.TextChoices):
    """How far the import of a file is."""

    CHECKED = "checked", _("waits for a decision")
    QUEUED = "queued", _("waits for its turn")
    RUNNING = "running", _("is being stored")
    STOPPED = "stopped", _("stopped")
    STORED = "stored", _("stored")
    REFUSED = "refused", _("refused: nothing was stored")
    FAILED = "failed", _("failed")
    DISCARDED = "discarded", _("discarded")


class Shape(models.TextChoices):
    LONG = "long", _("a row per value")
    WIDE = "wide", _("a column per series")


class InstructionKind(models.IntegerChoices):
    CONFIGURE = boxes.InstructionKind.CONFIGURE, _("configuration")
    SCHEDULE = boxes.InstructionKind.SCHEDULE, _("schedule of set-points")
    OUTPUT = boxes.InstructionKind.OUTPUT, _("switch an output")
    REREAD = boxes.InstructionKind.REREAD, _("read or send again")
    RESTART = boxes.InstructionKind.RESTART, _("restart")
    UPDATE = boxes.InstructionKind.UPDATE, _("update of the program")
    ROTATE_KEY = boxes.InstructionKind.ROTATE_KEY, _("new key")


class InstructionState(models.IntegerChoices):
    PENDING = 0, _("not answered")
    DONE = boxes.AnswerState.DONE, _("done")
    REFUSED = boxes.AnswerState.REFUSED, _("refused by the device")
    FAILED = boxes.AnswerState.FAILED, _("failed, nothing changed")


class EnrolmentState(models.TextChoices):
    """How far a box has come."""

    OPEN = "open", _("waits for the box")
    CHALLENGED = "challenged", _("the box proves where its key is kept")
    WAITING = "waiting", _("waits for the installer")
    CONFIGURED = "configured", _("test reading")
    LIVE = "live", _("live")
    UNDONE = "undone", _("undone")


class MeterRole(models.TextChoices):
    """What a meter is to measure; the values are those of the box's settings."""

    NONE = "", _("nothing")
    GENERATION = "generation", _("what a plant makes")
    GRID = "grid", _("what goes through the grid connection")


class AlarmKind(models.TextChoices):
    SILENCE = "silence", _("no readings")
    CLOCK = "clock", _("clock off")
    NO_GENERATION = "no_generation", _("no generation by day")
    CONSUMPTION = "consumption", _("unusual consumption")
    BACKLOG = "backlog", _("backlog grows")
    REFUSED = "refused", _("batches refused")
    REVOKED_KEY = "revoked_key", _("revoked key in use")

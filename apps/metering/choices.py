from django.db import models
from django.utils.translation import gettext_lazy as _

from evidence import boxes, readings


class Register(models.IntegerChoices):
    CONSUMPTION = readings.Register.CONSUMPTION, _("consumption")
    GENERATION = readings.Register.GENERATION, _("generation")


class Grade(models.IntegerChoices):
    DEVICE_SIGNED = readings.Grade.DEVICE_SIGNED, _("signed by the meter")
    OPERATOR_SIGNED = readings.Grade.OPERATOR_SIGNED, _("signed by the operator who imported it")
    SUBSTITUTE = readings.Grade.SUBSTITUTE, _("substitute value")


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

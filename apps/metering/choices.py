from django.db import models
from django.utils.translation import gettext_lazy as _

from evidence import readings


class Register(models.IntegerChoices):
    CONSUMPTION = readings.Register.CONSUMPTION, _("consumption")
    GENERATION = readings.Register.GENERATION, _("generation")


class Grade(models.IntegerChoices):
    DEVICE_SIGNED = readings.Grade.DEVICE_SIGNED, _("signed by the meter")
    OPERATOR_SIGNED = readings.Grade.OPERATOR_SIGNED, _("signed by the operator who imported it")
    SUBSTITUTE = readings.Grade.SUBSTITUTE, _("substitute value")

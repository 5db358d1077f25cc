from django.db import models
from django.utils.translation import gettext_lazy as _


class Technology(models.TextChoices):
    SOLAR = "solar", _("solar")
    WIND = "wind", _("wind")
    WATER = "water", _("water")
    BIOMASS = "biomass", _("biomass")
    COGENERATION = "cogeneration", _("combined heat and power")

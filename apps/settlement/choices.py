from django.db import models
from django.utils.translation import gettext_lazy as _

from evidence import settlement


class Scheme(models.IntegerChoices):
    """How a kilowatt-hour found its way, in the order of the default waterfall."""

    OWN_USE = settlement.Scheme.OWN_USE, _("own use")
    PURCHASE = settlement.Scheme.PURCHASE, _("neighbours")
    FEED_IN = settlement.Scheme.FEED_IN, _("fed in")
    SUPPLY = settlement.Scheme.SUPPLY, _("utility")

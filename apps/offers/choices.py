from django.db import models
from django.utils.translation import gettext_lazy as _

from ledger_adapters.contract.records import Mode, OfferState


class SurplusMode(models.IntegerChoices):
    METERED = Mode.METERED, _("metered")
    FORECAST = Mode.FORECAST, _("forecast")


class OfferStatus(models.IntegerChoices):
    DRAFT = 0, _("draft")
    OPEN = OfferState.OPEN, _("open")
    WITHDRAWN = OfferState.WITHDRAWN, _("withdrawn")
    CLOSED = OfferState.CLOSED, _("closed")

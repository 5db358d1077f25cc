from django.db import models
from django.utils.translation import gettext_lazy as _


class Severity(models.TextChoices):
    INFO = "info", _("information")
    WARNING = "warning", _("warning")
    ALARM = "alarm", _("alarm")


class Audience(models.TextChoices):
    """Who of a party receives a notice: those who work for a utility, or those who act for a party."""

    STAFF = "staff", _("staff of the utility")
    MEMBERS = "members", _("who acts for the party")


class Stage(models.TextChoices):
    RAISED = "raised", _("raised")
    OVER = "over", _("over")


class DeliveryState(models.TextChoices):
    WAITING = "waiting", _("waiting")
    SENT = "sent", _("sent")
    GIVEN_UP = "given_up", _("given up")
    DROPPED = "dropped", _("no longer for this person")

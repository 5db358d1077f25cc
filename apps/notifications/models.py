"""What was to be told, to whom, and whether it arrived. Rows are written together with what they tell."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.accounts.custody import open_secret
from apps.accounts.models import Party, User
from apps.accounts.permissions import Scope
from apps.notifications.choices import DeliveryState, Stage


class Notice(models.Model):
    """Something that happened to `party`. `about` names the thing; one that stands is not told again meanwhile."""

    kind = models.CharField(_("kind"), max_length=60)
    about = models.CharField(_("about"), max_length=100, blank=True)
    party = models.ForeignKey(Party, verbose_name=_("party"), on_delete=models.CASCADE, related_name="notices")
    values = models.JSONField(_("values"), default=dict)
    path = models.CharField(_("page"), max_length=200, blank=True)
    is_standing = models.BooleanField(_("stands"), default=False)
    raised_at = models.DateTimeField(_("raised"), auto_now_add=True)
    over_at = models.DateTimeField(_("over"), null=True)

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["kind", "about"], condition=Q(is_standing=True), name="notifications_stands_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.about}"

    @property
    def scope(self) -> Scope:
        return self.party.scope


class MailChoice(models.Model):
    """Whether a person wants mail of a kind, where they said so."""

    user = models.ForeignKey(User, verbose_name=_("person"), on_delete=models.CASCADE, related_name="mail_choices")
    kind = models.CharField(_("kind"), max_length=60)
    is_wanted = models.BooleanField(_("wanted"))

    class Meta:
        verbose_name = _("choice of mail")
        verbose_name_plural = _("choices of mail")
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "kind"], name="notifications_chosen_once")]

    def __str__(self) -> str:
        return f"{self.user} · {self.kind}"


class Webhook(models.Model):
    """Where an organisation's own program hears of notices. The secret is sealed with the custody key."""

    party = models.ForeignKey(Party, verbose_name=_("organisation"), on_delete=models.CASCADE, related_name="webhooks")
    url = models.URLField(_("address"), max_length=500)
    sealed_secret = models.BinaryField(editable=False)
    kinds: "ArrayField[list[str], list[str]]" = ArrayField(
        models.CharField(max_length=60), verbose_name=_("kinds"), default=list, blank=True
    )
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("since"), auto_now_add=True)

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        ordering: ClassVar = ["party", "url"]

    def __str__(self) -> str:
        return self.url

    @property
    def secret(self) -> bytes:
        return open_secret(bytes(self.sealed_secret))


class Delivery(models.Model):
    """A notice on its way to a person by mail, or to a webhook."""

    notice = models.ForeignKey(Notice, verbose_name=_("notice"), on_delete=models.CASCADE, related_name="deliveries")
    stage = models.CharField(_("stage"), max_length=10, choices=Stage.choices)
    user = models.ForeignKey(
        User, verbose_name=_("person"), null=True, on_delete=models.CASCADE, related_name="deliveries"
    )
    webhook = models.ForeignKey(
        Webhook, verbose_name=_("webhook"), null=True, on_delete=models.CASCADE, related_name="deliveries"
    )
    state = models.CharField(_("state"), max_length=10, choices=DeliveryState.choices, default=DeliveryState.WAITING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    due_at = models.DateTimeField(_("next attempt"))
    error = models.CharField(_("last error"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("since"), auto_now_add=True)
    sent_at = models.DateTimeField(_("sent"), null=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(user=None, webhook__isnull=False) | Q(user__isnull=False, webhook=None),
                name="notifications_one_addressee",
            ),
            models.UniqueConstraint(fields=["notice", "stage", "user"], name="notifications_mailed_once"),
            models.UniqueConstraint(fields=["notice", "stage", "webhook"], name="notifications_posted_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["due_at"], name="notifications_due", condition=Q(state=DeliveryState.WAITING))
        ]

    def __str__(self) -> str:
        return f"{self.notice} · {self.user or self.webhook}"

"""Webhooks of organisations, and the log of what was told to whom."""

import secrets
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from apps.accounts.choices import PartyKind
from apps.accounts.custody import seal
from apps.accounts.models import Party
from apps.accounts.tenants import ReadOnlyAdmin, TenantAdmin, of_tenant
from apps.notifications.kinds import kinds
from apps.notifications.models import Delivery, MailChoice, Notice, Webhook
from apps.notifications.services.webhooks import check_url

SECRET_BYTES = 32


class WebhookForm(forms.ModelForm[Webhook]):
    url = forms.URLField(label=_("address"), max_length=500, assume_scheme="https")
    kinds = forms.MultipleChoiceField(
        label=_("kinds"), required=False, widget=forms.CheckboxSelectMultiple, help_text=_("None chosen: all of them.")
    )

    class Meta:
        model = Webhook
        fields = ("party", "url", "kinds", "is_active")

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        field = self.fields["kinds"]
        assert isinstance(field, forms.MultipleChoiceField)  # noqa: S101 declared above
        field.choices = [(kind.key, str(kind.title)) for kind in kinds()]

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        check_url(url)
        return url


@admin.register(Webhook)
class WebhookAdmin(TenantAdmin[Webhook]):
    """Its secret is shown once, when it is made."""

    tenant = ("party", "party__utility")
    form = WebhookForm
    list_display = ("url", "party", "is_active", "created_at")
    list_select_related = ("party",)
    search_fields = ("url", "party__name")

    def get_readonly_fields(self, request: HttpRequest, obj: Webhook | None = None) -> Any:
        return ("party",) if obj else ()

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "party":
            kwargs["queryset"] = of_tenant(request, Party.objects.filter(kind=PartyKind.ORGANISATION))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Webhook | None = None) -> bool:
        return self._may(request, obj)

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        if not change:
            secret = secrets.token_urlsafe(SECRET_BYTES)
            obj.sealed_secret = seal(secret.encode())
            text = _("The secret that signs what is sent there, shown only now: %(secret)s")
            messages.success(request, text % {"secret": secret})
        super().save_model(request, obj, form, change)


@admin.register(MailChoice)
class MailChoiceAdmin(ReadOnlyAdmin[MailChoice]):
    """Of no tenant: what mail people want is their own matter."""

    tenant = ()
    list_display = ("user", "kind", "is_wanted")
    list_select_related = ("user",)
    fields = ("user", "kind", "is_wanted")


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin[Notice]):
    tenant = ("party", "party__utility")
    list_display = ("kind", "about", "party", "is_standing", "raised_at", "over_at")
    list_filter = ("is_standing", "kind")
    list_select_related = ("party",)
    fields = ("kind", "about", "party", "values", "is_standing", "raised_at", "over_at")


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin[Delivery]):
    tenant = ("notice__party", "notice__party__utility")
    list_display = ("notice", "stage", "user", "webhook", "state", "attempts", "created_at", "sent_at", "error")
    list_filter = ("state", "stage")
    list_select_related = ("notice", "user", "webhook")
    fields = (
        *("notice", "stage", "user", "webhook", "state", "attempts"),
        *("due_at", "error", "created_at", "sent_at"),
    )

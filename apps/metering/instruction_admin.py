"""Tell devices what to do, and see what became of it."""

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import User
from apps.accounts.permissions import Action
from apps.accounts.tenants import TenantAdmin, is_superuser, viewer_of
from apps.metering.models import Instruction
from apps.metering.services.instructions import instruct
from evidence.boxes import InstructionKind


class InstructionForm(forms.ModelForm[Instruction]):
    content = forms.JSONField(
        label=_("content"), initial=dict, help_text=_("a JSON object, as docs/meter-agent-channel.md describes it")
    )
    hours = forms.IntegerField(
        label=_("hours within which the device may begin"), initial=24, min_value=1, max_value=24 * 90
    )

    class Meta:
        model = Instruction
        fields = ("device", "kind")

    def clean_content(self) -> dict[str, Any]:
        content = self.cleaned_data["content"]
        if not isinstance(content, dict):
            raise forms.ValidationError(_("A JSON object is expected."))
        return content


@admin.register(Instruction)
class InstructionAdmin(TenantAdmin[Instruction]):
    """An instruction is given once and never changed: it is signed."""

    tenant = ("device__area__utility",)
    form = InstructionForm
    list_display = ("device", "sequence", "kind", "state", "expired", "created_at", "received_at", "answered_at")
    list_filter = ("state", "kind", ("device__area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("device",)
    search_fields = ("device__name",)
    readonly_fields = (
        *("sequence", "body_text", "given_by", "created_at", "expired"),
        *("received_at", "state", "answer_text", "answered_at"),
    )

    def has_change_permission(self, request: HttpRequest, obj: Instruction | None = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: Instruction | None = None) -> Any:
        if obj is None:
            return ("device", "kind", "content", "hours")
        return ("device", "kind", *self.readonly_fields)

    def save_model(self, request: HttpRequest, obj: Instruction, form: Any, change: bool) -> None:
        if not is_superuser(request):
            viewer_of(request).require(Action.MANAGE_METERING, obj.device)
        given = form.cleaned_data
        assert isinstance(request.user, User)  # noqa: S101 nobody else gets here
        made = instruct(
            obj.device,
            InstructionKind(obj.kind),
            given["content"],
            until=int(timezone.now().timestamp()) + given["hours"] * 3600,
            by=request.user,
        )
        # What the administration shows and logs from here on is the row that was stored.
        obj.__dict__.update(made.__dict__)

    @admin.display(description=_("expired"), boolean=True)
    def expired(self, instruction: Instruction) -> bool:
        return instruction.is_expired

    @admin.display(description=_("content"))
    def body_text(self, instruction: Instruction) -> str:
        """Without the secrets of metering points."""
        content = json.loads(instruction.body, object_hook=_without_secret)
        return json.dumps(content, indent=2, ensure_ascii=False)

    @admin.display(description=_("answer"))
    def answer_text(self, instruction: Instruction) -> str:
        return bytes(instruction.answer or b"").decode()


def _without_secret(table: dict[str, Any]) -> dict[str, Any]:
    return {name: "…" if name == "secret" else value for name, value in table.items()}

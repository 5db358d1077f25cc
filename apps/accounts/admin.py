"""People, parties, who acts for whom, and signing keys."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from apps.accounts.choices import MemberRole, PartyRole
from apps.accounts.models import Membership, Party, PartyKey, User
from apps.accounts.services.parties import register_party
from apps.accounts.tenants import ReadOnlyAdmin, TenantAdmin, is_superuser, of_tenant, viewer_of


@admin.register(User)
class UserAdmin(DjangoUserAdmin):  # type: ignore[type-arg]
    """Superusers manage people; a clerk looks at those who act for a party of their utility."""

    list_display = ("email", "name", "language", "is_active", "is_staff", "date_joined")
    list_filter = ("is_active", "is_staff", "language")
    search_fields = ("email", "name")
    ordering = ("email",)
    filter_horizontal = ()
    readonly_fields = ("date_joined", "last_login")
    fieldsets = (
        (None, {"fields": ("email", "password", "name", "language")}),
        (_("Rights"), {"fields": ("is_active", "is_staff", "is_superuser")}),
        (_("Dates"), {"fields": ("date_joined", "last_login")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "name", "language", "usable_password", "password1", "password2")}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        people = super().get_queryset(request)
        if is_superuser(request):
            return people
        staff_of = viewer_of(request).staff_of
        ours = Membership.objects.filter(Q(party__utility__in=staff_of) | Q(party__in=staff_of))
        return people.filter(pk__in=ours.values("user"))

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        if is_superuser(request):
            return super().get_fieldsets(request, obj)
        return ((None, {"fields": ("email", "name", "language", "is_active", "date_joined")}),)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        if super().has_view_permission(request, obj):
            return True
        if not (request.user.is_active and request.user.is_staff and viewer_of(request).staff_of):
            return False
        return obj is None or self.get_queryset(request).filter(pk=obj.pk).exists()

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False


class PartyKeyInline(admin.TabularInline[PartyKey, Party]):
    model = PartyKey
    fields = ("__str__", "custody", "created_at", "ended_at")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Whoever may see the party may see its public keys.
        return True


@admin.register(Party)
class PartyAdmin(TenantAdmin[Party]):
    """Adding one registers it on the ledger; after that its details are fixed by their digest there."""

    tenant = ("utility", "pk")
    list_display = ("name", "role", "kind", "city", "utility", "ledger_state", "created_at")
    list_filter = ("role", "kind", "ledger_state")
    list_select_related = ("utility",)
    search_fields = ("name", "city", "tax_id")
    autocomplete_fields = ("utility",)
    date_hierarchy = "created_at"
    fields = ("utility", "role", "kind", "name", "street", "postal_code", "city", "country", "tax_id")
    inlines = (PartyKeyInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: Party | None = None) -> Any:
        return ("ledger_state", "created_at") if obj else ()

    def get_fields(self, request: HttpRequest, obj: Party | None = None) -> Any:
        return (*self.fields, "ledger_state", "created_at") if obj else self.fields

    def has_change_permission(self, request: HttpRequest, obj: Party | None = None) -> bool:
        return False

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "utility":
            kwargs["queryset"] = of_tenant(request, Party.objects.filter(utility=None))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_form(self, request: HttpRequest, obj: Party | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        if "utility" in form.base_fields and not is_superuser(request):
            # Only a superuser founds a utility.
            form.base_fields["utility"].required = True
        return form

    def save_model(self, request: HttpRequest, obj: Party, form: Any, change: bool) -> None:
        details = {name: getattr(obj, name) for name in self.fields if name not in ("name", "role", "utility")}
        registered = register_party(name=obj.name, role=PartyRole(obj.role), utility=obj.utility, **details)
        obj.__dict__.update(registered.__dict__)


class MembershipForm(forms.ModelForm[Membership]):
    """Connects an account by its exact e-mail address: nobody has to see a list of all people for that."""

    email = forms.EmailField(label=_("e-mail address of the account"))

    class Meta:
        model = Membership
        fields = ("party", "role")

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        user = User.objects.filter(email__iexact=email, is_active=True).first()
        if user is None:
            raise ValidationError(_("No account has this address. The person has to sign up first."))
        self.instance.user = user
        return email

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        party, role = self.cleaned_data.get("party"), self.cleaned_data.get("role")
        if party and role in (MemberRole.STAFF, MemberRole.AUDITOR) and party.role != PartyRole.UTILITY:
            raise ValidationError({"role": _("Staff and auditors belong to a utility.")})
        return cleaned


@admin.register(Membership)
class MembershipAdmin(TenantAdmin[Membership]):
    tenant = ("party__utility", "party")
    list_display = ("user", "party", "role")
    list_filter = ("role",)
    list_select_related = ("user", "party")
    search_fields = ("user__email", "user__name", "party__name")
    autocomplete_fields = ("party",)

    def get_form(self, request: HttpRequest, obj: Membership | None = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = MembershipForm
        form = super().get_form(request, obj, change=change, **kwargs)
        if obj is None and not is_superuser(request):
            # A clerk connects customers; who works for a utility is for a superuser to say.
            customers = [(MemberRole.MEMBER.value, MemberRole.MEMBER.label)]
            form.base_fields["role"] = forms.ChoiceField(label=_("role"), choices=customers)
        return form

    def get_fields(self, request: HttpRequest, obj: Membership | None = None) -> Any:
        return ("user", "party", "role") if obj else ("email", "party", "role")

    def has_change_permission(self, request: HttpRequest, obj: Membership | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Membership | None = None) -> bool:
        if obj is not None and obj.role != MemberRole.MEMBER and not is_superuser(request):
            return False
        return self._may(request, obj)


@admin.register(PartyKey)
class PartyKeyAdmin(ReadOnlyAdmin[PartyKey]):
    tenant = ("party__utility", "party")
    list_display = ("__str__", "party", "custody", "created_at", "ended_at")
    list_filter = ("custody",)
    list_select_related = ("party",)
    search_fields = ("party__name",)
    fields = ("party", "custody", "created_at", "ended_at")

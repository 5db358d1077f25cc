"""People, parties, who acts for whom, and signing keys."""

from typing import Any

# Its module registers e-mail addresses of all tenants; imported here, so that it does not do so after us.
import allauth.account.admin  # noqa: F401
from allauth.account.models import EmailAddress, EmailConfirmation
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.accounts.choices import MemberRole, PartyRole
from apps.accounts.exceptions import MembershipError
from apps.accounts.models import ApiClient, Membership, Party, PartyKey, User
from apps.accounts.services import memberships
from apps.accounts.services.parties import register_party
from apps.accounts.tenants import ReadOnlyAdmin, TenantAdmin, is_superuser, of_tenant, viewer_of

for model in (EmailAddress, EmailConfirmation):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


class EmailAddressInline(admin.TabularInline[EmailAddress, User]):
    """Which addresses a person has shown to hold; they are changed by the person alone."""

    model = EmailAddress
    fields = ("email", "verified", "primary")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Whoever may see the person may see whether the address is theirs.
        return True


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
    inlines = (EmailAddressInline,)
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
    """Adding one registers it on the ledger; after that its details are fixed by their digest there.

    The e-mail address is not on the ledger, but it says who is the first to act: staff note it once.
    """

    tenant = ("utility", "pk")
    list_display = ("name", "role", "kind", "city", "utility", "ledger_state", "created_at")
    list_filter = ("role", "kind", "ledger_state")
    list_select_related = ("utility",)
    search_fields = ("name", "city", "tax_id")
    autocomplete_fields = ("utility",)
    date_hierarchy = "created_at"
    fields = ("utility", "role", "kind", "name", "street", "postal_code", "city", "country", "tax_id", "email")
    inlines = (PartyKeyInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: Party | None = None) -> Any:
        return (*(name for name in self.fields if name != "email"), "ledger_state", "created_at") if obj else ()

    def get_fields(self, request: HttpRequest, obj: Party | None = None) -> Any:
        return (*self.fields, "ledger_state", "created_at") if obj else self.fields

    def has_change_permission(self, request: HttpRequest, obj: Party | None = None) -> bool:
        if obj is None or not self._may(request, obj):
            return False
        return is_superuser(request) or memberships.may_take_address(obj)

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
        if change:
            obj.save(update_fields=["email"])
            return
        details = {name: getattr(obj, name) for name in self.fields if name not in ("name", "role", "utility")}
        registered = register_party(name=obj.name, role=PartyRole(obj.role), utility=obj.utility, **details)
        obj.__dict__.update(registered.__dict__)


class MembershipForm(forms.ModelForm[Membership]):
    """Names an account by its exact e-mail address: nobody has to see a list of all people for that."""

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


@admin.register(Membership)
class MembershipAdmin(TenantAdmin[Membership]):
    """Staff ask and end; whether a person may act for a customer is for the customer to say, on the portal."""

    tenant = ("party__utility", "party")
    list_display = ("user", "party", "role", "state", "invited_by", "invited_at", "decided_by", "decided_at")
    list_filter = ("state", "role")
    list_select_related = ("user", "party", "invited_by", "decided_by")
    search_fields = ("user__email", "user__name", "party__name")
    autocomplete_fields = ("party",)
    actions = ("ask_again", "end")
    shown = (
        *("user", "party", "role", "state", "own_household", "invited_by", "invited_at"),
        *("decided_by", "decided_at", "ended_by", "ended_at"),
    )

    def get_form(self, request: HttpRequest, obj: Membership | None = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = MembershipForm
        form = super().get_form(request, obj, change=change, **kwargs)
        if obj is None and not is_superuser(request):
            # A clerk connects customers; who works or acts for a utility is for a superuser to say.
            customers = [(MemberRole.MEMBER.value, MemberRole.MEMBER.label)]
            form.base_fields["role"] = forms.ChoiceField(label=_("role"), choices=customers)
        return form

    def get_fields(self, request: HttpRequest, obj: Membership | None = None) -> Any:
        return self.shown if obj else ("email", "party", "role")

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        by, role = _person(request), MemberRole(obj.role)
        if by.is_superuser and (role != MemberRole.MEMBER or obj.party.role == PartyRole.UTILITY):
            made = memberships.appoint(user=obj.user, party=obj.party, role=role, by=by)
        else:
            made = memberships.invite(user=obj.user, party=obj.party, by=by, site=_site(request))
        obj.__dict__.update(made.__dict__)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """As always; when the rules refuse what was to be saved, the page says why and nothing is stored."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except MembershipError as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(request.get_full_path())

    @admin.action(description=_("Ask again"), permissions=["view"])
    def ask_again(self, request: HttpRequest, chosen: QuerySet[Membership]) -> None:
        for membership in chosen:
            self._attempt(request, membership, memberships.ask_again)

    @admin.action(description=_("End it"), permissions=["view"])
    def end(self, request: HttpRequest, chosen: QuerySet[Membership]) -> None:
        for membership in chosen:
            if membership.role != MemberRole.MEMBER and not is_superuser(request):
                messages.error(request, _("Who works for a utility is for a superuser to say."))
            else:
                self._attempt(request, membership, memberships.end)

    def _attempt(self, request: HttpRequest, membership: Membership, change: Any) -> None:
        try:
            change(membership, by=_person(request), site=_site(request))
        except MembershipError as error:
            messages.error(request, f"{membership}: {error}")
        else:
            self.log_change(request, membership, change.__name__)
            messages.success(request, _("%(membership)s: done.") % {"membership": membership})

    def has_change_permission(self, request: HttpRequest, obj: Membership | None = None) -> bool:
        return False


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 the administration lets nobody else in
    return request.user


def _site(request: HttpRequest) -> str:
    return request.build_absolute_uri("/").removesuffix("/")


@admin.register(PartyKey)
class PartyKeyAdmin(ReadOnlyAdmin[PartyKey]):
    tenant = ("party__utility", "party")
    list_display = ("__str__", "party", "custody", "created_at", "ended_at")
    list_filter = ("custody",)
    list_select_related = ("party",)
    search_fields = ("party__name",)
    fields = ("party", "custody", "created_at", "ended_at")


@admin.register(ApiClient)
class ApiClientAdmin(TenantAdmin[ApiClient]):
    """Programs that may post for a utility. A token is shown once, when the client is made."""

    tenant = ("utility",)
    list_display = ("name", "utility", "created_by", "created_at", "revoked_at")
    list_select_related = ("utility", "created_by")
    fields = ("utility", "name")
    actions = ("revoke",)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "utility":
            kwargs["queryset"] = of_tenant(request, Party.objects.filter(utility=None))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: ApiClient | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: ApiClient, form: Any, change: bool) -> None:
        token = obj.new_token()
        obj.created_by = _person(request)
        obj.save()
        messages.warning(
            request, _("The token of %(name)s, shown this once: %(token)s") % {"name": obj, "token": token}
        )

    @admin.action(description=_("Revoke: nothing that they send from now on is accepted"), permissions=["view"])
    def revoke(self, request: HttpRequest, clients: QuerySet[ApiClient]) -> None:
        clients.filter(revoked_at=None).update(revoked_at=timezone.now())

"""The administration, one tenant at a time: staff see the rows of the utilities they work for, and no others."""

from typing import Any, ClassVar, TypeVar

from django.contrib import admin, messages
from django.db.models import ForeignKey, ManyToManyField, Model, Q, QuerySet
from django.forms import ModelChoiceField, ModelMultipleChoiceField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from apps.accounts.models import User
from apps.accounts.permissions import Viewer
from apps.ledger.exceptions import Declined, Refused
from apps.ledger.messages import reason

M = TypeVar("M", bound=Model)

# Look-ups from a model to its utility. Each app adds its own models' when it registers them.
_paths: dict[type[Model], tuple[str, ...]] = {}


def viewer_of(request: HttpRequest) -> Viewer:
    """One viewer per request, so that memberships are read once."""
    viewer: Viewer | None = getattr(request, "admin_viewer", None)
    if viewer is None:
        viewer = Viewer(request.user)
        request.admin_viewer = viewer  # type: ignore[attr-defined]
    return viewer


def is_superuser(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and request.user.is_active and request.user.is_superuser


def of_tenant(request: HttpRequest, objects: QuerySet[M]) -> QuerySet[M]:
    """Of `objects`, those of the utilities that the person works for; all for a superuser."""
    if is_superuser(request):
        return objects
    paths = _paths.get(objects.model)
    if paths is None:
        return objects.none()
    wanted = Q(pk__in=[])
    for path in paths:
        wanted |= Q(**{f"{path}__in": viewer_of(request).staff_of})
    return objects.filter(wanted)


class TenantAdmin(admin.ModelAdmin[M]):
    """Lists and forms of one tenant. `tenant` are look-ups from the model to its utility."""

    tenant: ClassVar[tuple[str, ...]]
    show_full_result_count = False
    list_per_page = 50

    def __init__(self, model: type[M], site: admin.AdminSite) -> None:
        super().__init__(model, site)
        _paths[model] = self.tenant

    def get_queryset(self, request: HttpRequest) -> QuerySet[M]:
        return of_tenant(request, super().get_queryset(request))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """As always; when a rule of the ledger or of ours forbids it, the page says why and nothing is stored."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except (Refused, Declined) as error:
            messages.error(request, reason(error.code) if isinstance(error, Refused) else str(error))
            return HttpResponseRedirect(request.get_full_path())

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField[Any]:
        kwargs.setdefault("queryset", of_tenant(request, db_field.remote_field.model._default_manager.all()))
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        assert field is not None  # noqa: S101 a foreign key always has a field
        return field

    def formfield_for_manytomany(
        self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> ModelMultipleChoiceField[Any] | None:
        kwargs.setdefault("queryset", of_tenant(request, db_field.remote_field.model._default_manager.all()))
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def has_view_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return self._may(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return self._may(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may(request, None)

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request, None)

    def _may(self, request: HttpRequest, obj: M | None) -> bool:
        user = request.user
        if not (isinstance(user, User) and user.is_active and user.is_staff):
            return False
        if user.is_superuser:
            return True
        if not viewer_of(request).staff_of:
            return False
        return obj is None or of_tenant(request, type(obj)._default_manager.filter(pk=obj.pk)).exists()


class ReadOnlyAdmin(TenantAdmin[M]):
    """For what services and the ledger alone change."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

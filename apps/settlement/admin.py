"""Settlements: to look at, and to settle a day again when its readings were corrected."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from apps.accounts.permissions import Action
from apps.accounts.tenants import ReadOnlyAdmin, is_superuser, viewer_of
from apps.ledger.exceptions import Refused
from apps.ledger.messages import reason
from apps.settlement.exceptions import SettlementError
from apps.settlement.models import Settlement
from apps.settlement.services.settle import settle_day
from apps.web.formatting import kwh


@admin.register(Settlement)
class SettlementAdmin(ReadOnlyAdmin[Settlement]):
    tenant = ("area__utility",)
    list_display = (
        "day",
        "version",
        "area",
        "produced",
        "consumed",
        "allocated",
        "fed_in",
        "supplied",
        "ledger_state",
        "created_at",
    )
    list_filter = ("ledger_state", ("area", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("area",)
    date_hierarchy = "day"
    fields = (
        "area",
        "day",
        "version",
        "slots",
        "produced",
        "consumed",
        "allocated",
        "fed_in",
        "supplied",
        "root_text",
        "ledger_state",
        "created_at",
    )
    actions = ("settle_again",)

    @admin.action(description=_("Settle these days again, as a new version"), permissions=["view"])
    def settle_again(self, request: HttpRequest, settlements: QuerySet[Settlement]) -> None:
        viewer = viewer_of(request)
        chosen = settlements.select_related("area__utility")
        for area, day in sorted({(s.area, s.day) for s in chosen}, key=lambda pair: (pair[0].pk, pair[1])):
            if not is_superuser(request):
                viewer.require(Action.RUN_SETTLEMENT, chosen.filter(area=area)[0])
            try:
                settled = settle_day(area, day)
            except SettlementError as error:
                messages.error(request, f"{area} {day}: {error}")
            except Refused as error:
                messages.error(request, f"{area} {day}: {reason(error.code)}")
            else:
                messages.success(request, _("%(settlement)s is on its way to the ledger.") % {"settlement": settled})

    @admin.display(description=_("produced"), ordering="produced_wh")
    def produced(self, settlement: Settlement) -> str:
        return kwh(settlement.produced_wh, fixed=True)

    @admin.display(description=_("consumed"), ordering="consumed_wh")
    def consumed(self, settlement: Settlement) -> str:
        return kwh(settlement.consumed_wh, fixed=True)

    @admin.display(description=_("allocated"), ordering="allocated_wh")
    def allocated(self, settlement: Settlement) -> str:
        return kwh(settlement.allocated_wh, fixed=True)

    @admin.display(description=_("fed in"), ordering="fed_in_wh")
    def fed_in(self, settlement: Settlement) -> str:
        return kwh(settlement.fed_in_wh, fixed=True)

    @admin.display(description=_("supplied"), ordering="supplied_wh")
    def supplied(self, settlement: Settlement) -> str:
        return kwh(settlement.supplied_wh, fixed=True)

    @admin.display(description=_("root"))
    def root_text(self, settlement: Settlement) -> str:
        return bytes(settlement.root).hex()

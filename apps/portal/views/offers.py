"""The market: what others sell, what one sells oneself, buying a part."""

import re
import secrets
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.permissions import Action, Viewer
from apps.ledger.choices import LedgerState
from apps.ledger.exceptions import Refused
from apps.ledger.messages import reason
from apps.offers import services
from apps.offers.choices import OfferStatus
from apps.offers.drafts import change_draft, discard_draft
from apps.offers.exceptions import OfferError
from apps.offers.models import Declaration, Offer, Purchase
from apps.offers.selectors import open_offers, own_declarations, own_offers, own_purchases
from apps.portal.access import for_viewer
from apps.portal.forms import BuyForm, OfferForm
from apps.portal.lists import page_of, shown
from apps.portal.market import offer_status, open_table, own_table, place_of, price_of, purchase_table
from apps.portal.records import seals, seals_of
from apps.portal.selectors import own_points
from apps.settlement.models import Settlement
from apps.web.formatting import EXACT, NBSP, decimal_text, kwh, money, unit_price
from evidence.hashing import tagged
from market_math.money import amount

T = TypeVar("T")

TOKEN = re.compile(r"[0-9a-f]{64}")
NANO_DIGITS = 9


@require_safe
@for_viewer
def offers(request: HttpRequest, viewer: Viewer) -> HttpResponse:
    open_page = page_of(request, open_offers(viewer).order_by("price_micro", "published_at", "pk"))
    own_page = page_of(request, own_offers(viewer).order_by("-created_at", "-pk"), "own")
    bought_page = page_of(request, own_purchases(viewer).order_by("-created_at", "-pk"), "bought")
    context = {
        "open_page": open_page,
        "open_shown": shown(open_page),
        "open_table": open_table(open_page.object_list, viewer),
        "own_page": own_page,
        "own_table": own_table(list(own_page.object_list)),
        "bought_page": bought_page,
        "bought_table": purchase_table(list(bought_page.object_list)),
        "surplus": list(sellable(viewer)),
        "sells": own_points(viewer).exclude(plant=None).exists(),
        "is_customer": bool(viewer.own),
    }
    return render(request, "portal/offers.html", context)


def sellable(viewer: Viewer) -> QuerySet[Declaration]:
    """Own surplus that can still be offered, newest day first. A settled day is over: its rest was fed in."""
    settled = Settlement.objects.filter(area=OuterRef("area"), day=OuterRef("day"))
    free = own_declarations(viewer).filter(energy_wh__gt=F("offered_wh")).exclude(ledger_state=LedgerState.REJECTED)
    return free.exclude(Exists(settled)).order_by("-day", "plant")


@require_http_methods(["GET", "HEAD", "POST"])
@for_viewer
def new_offer(request: HttpRequest, viewer: Viewer, declaration_pk: int) -> HttpResponse:
    """Step two: configure what is to be sold. Saves a draft."""
    declaration = _declaration(viewer, declaration_pk)
    form = OfferForm(request.POST or None, declaration=declaration)
    if request.method == "POST" and form.is_valid():
        offer = _attempt(form, lambda: services.draft_offer(declaration=declaration, **_configured(form)))
        if offer is not None:
            return redirect("portal:offer", offer.pk)
    return render(request, "portal/offer_form.html", {"form": form, "declaration": declaration})


@require_http_methods(["GET", "HEAD", "POST"])
@for_viewer
def change_offer(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    offer = _own_offer(viewer, pk)
    form = OfferForm(request.POST or None, declaration=offer.declaration, offer=offer)
    if request.method == "POST" and form.is_valid():
        changed = _attempt(form, lambda: change_draft(offer=offer, **_configured(form)))
        if changed is not None:
            return redirect("portal:offer", offer.pk)
    return render(request, "portal/offer_form.html", {"form": form, "declaration": offer.declaration, "offer": offer})


@require_safe
@for_viewer
def offer(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    found = get_object_or_404(_visible_offers(viewer), pk=pk)
    ids = [found.command_id, found.closing_id]
    by_id = seals(ids)
    area = found.declaration.area
    context = {
        "offer": found,
        "declaration": found.declaration,
        "area": area,
        "place": place_of(found.declaration),
        "price": price_of(found),
        "total": money(amount(found.energy_wh, found.price_micro), area.currency),
        "status": offer_status(found),
        "is_draft": found.status == OfferStatus.DRAFT,
        "may_withdraw": found.status == OfferStatus.OPEN and found.is_confirmed and found.closing_id is None,
        "is_own": viewer.may(Action.SELL, found),
        "may_buy": viewer.may(Action.BUY, found) and open_offers(viewer).filter(pk=pk).exists(),
        "seals": [by_id[bytes(id_)] for id_ in ids if id_ and bytes(id_) in by_id],
    }
    return render(request, "portal/offer.html", context)


@require_POST
@for_viewer
def publish(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    offer = _own_offer(viewer, pk)
    done = _("Your offer is on its way to the ledger. As soon as it is there, your neighbours see it.")
    _tell(request, done, lambda: services.publish_offer(offer))
    return redirect("portal:offer", pk)


@require_POST
@for_viewer
def withdraw(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    offer = _own_offer(viewer, pk)
    done = _("The end of your offer is on its way to the ledger. What was bought before stays sold.")
    _tell(request, done, lambda: services.withdraw_offer(offer))
    return redirect("portal:offer", pk)


@require_POST
@for_viewer
def discard(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    offer = _own_offer(viewer, pk)
    if _tell(request, _("The draft is gone."), lambda: discard_draft(offer)):
        return redirect("portal:offers")
    return redirect("portal:offer", pk)


@require_http_methods(["GET", "HEAD", "POST"])
@for_viewer
def buy(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    """Asks how much, then shows what will be due, then buys: once for every time it was shown."""
    offer = get_object_or_404(_visible_offers(viewer), pk=pk)
    viewer.require(Action.BUY, offer)
    points = own_points(viewer).filter(area=offer.declaration.area_id)
    purchase_id = _purchase_id(viewer, offer, request.POST["token"]) if "token" in request.POST else None
    # A second click or a page sent again must not buy twice.
    made = Purchase.objects.filter(ledger_id=purchase_id).first() if purchase_id else None
    if made is not None:
        messages.warning(request, _("This purchase was sent already; it was not made twice."))
        return redirect("portal:purchase", made.pk)
    form = BuyForm(request.POST or None, offer=offer, points=points)
    context = {"offer": offer, "form": form, "price": price_of(offer), "place": place_of(offer.declaration)}
    if request.method != "POST" or not form.is_valid() or "change" in request.POST:
        return render(request, "portal/buy.html", context)
    if purchase_id is None:
        return render(request, "portal/buy_confirm.html", context | _due(form, offer))
    bought = _attempt(form, lambda: _buy(form, offer, purchase_id))
    if bought is None:
        return render(request, "portal/buy.html", context)
    return redirect("portal:purchase", bought.pk)


def _purchase_id(viewer: Viewer, offer: Offer, token: str) -> bytes:
    """What the purchase will be called: the token is the page's, person and offer keep it from anybody else's."""
    if not TOKEN.fullmatch(token):
        raise BadRequest("the token of a purchase has 64 hexadecimal digits")
    return tagged("em/purchase/1", f"{viewer.user.pk}/{offer.pk}/".encode() + bytes.fromhex(token))


def _buy(form: BuyForm, offer: Offer, purchase_id: bytes) -> Purchase:
    point, energy_wh = form.point, form.cleaned_data["energy_wh"]
    return services.buy(offer=offer, buyer=point.party, point=point, energy_wh=energy_wh, purchase_id=purchase_id)


def _due(form: BuyForm, offer: Offer) -> dict[str, Any]:
    """What a purchase costs: the exact product, and what it is rounded to."""
    energy, currency = form.cleaned_data["energy_wh"], offer.declaration.area.currency
    nano = amount(energy, offer.price_micro)
    exact = f"{exact_amount(nano)}{NBSP}{currency}"
    return {
        "energy": exact_energy(energy),
        "energy_wh": form["energy_wh"].value(),
        "point": form.point,
        "due": money(nano, currency),
        "exact": exact,
        "token": secrets.token_hex(32),
    }


def exact_amount(nano: int) -> str:
    """Nano-currency with all the decimals that it has, at least two."""
    return decimal_text(Decimal(nano).scaleb(-NANO_DIGITS, context=EXACT), least=2, most=NANO_DIGITS)


def exact_energy(wh: int) -> str:
    """kWh with all three decimals that it may have."""
    return f"{decimal_text(Decimal(wh).scaleb(-3, context=EXACT), most=3)}{NBSP}kWh"


@require_safe
@for_viewer
def purchase(request: HttpRequest, viewer: Viewer, pk: int) -> HttpResponse:
    visible = viewer.visible(
        Action.VIEW_DUES,
        Purchase.objects.select_related(
            "offer__declaration__area", "offer__declaration__seller", "offer__declaration__plant", "point", "buyer"
        ),
        "offer__declaration__area__utility",
        "buyer",
        "offer__declaration__seller",
    )
    found = get_object_or_404(visible, pk=pk)
    declaration = found.offer.declaration
    context = {
        "purchase": found,
        "declaration": declaration,
        "area": declaration.area,
        "energy": exact_energy(found.energy_wh),
        "delivered": kwh(found.delivered_wh) if found.delivered_wh is not None else "",
        "price": unit_price(found.price_micro, declaration.area.currency, declaration.seller.country),
        "due": money(found.amount_nano, declaration.area.currency),
        "exact": f"{exact_amount(found.amount_nano)}{NBSP}{declaration.area.currency}",
        "bought": found.buyer_id in viewer.own,
        "is_rejected": found.ledger_state == LedgerState.REJECTED,
        "seal": seals_of([found])[0],
    }
    return render(request, "portal/purchase.html", context)


def _visible_offers(viewer: Viewer) -> QuerySet[Offer]:
    """All that the viewer may see; a draft is nobody's but the seller's."""
    offers = Offer.objects.select_related(
        "declaration__area", "declaration__seller", "declaration__plant__point"
    ).filter(Q(declaration__seller__in=viewer.own) | ~Q(status=OfferStatus.DRAFT))
    return viewer.visible(Action.VIEW_MARKET, offers, "declaration__area__utility", "declaration__seller")


def _own_offer(viewer: Viewer, pk: int) -> Offer:
    offer = get_object_or_404(_visible_offers(viewer), pk=pk)
    viewer.require(Action.SELL, offer)
    return offer


def _declaration(viewer: Viewer, pk: int) -> Declaration:
    declarations = Declaration.objects.select_related("area", "plant__point", "seller")
    visible = viewer.visible(Action.VIEW_MARKET, declarations, "area__utility", "seller")
    declaration = get_object_or_404(visible, pk=pk)
    viewer.require(Action.SELL, declaration)
    return declaration


def _configured(form: OfferForm) -> dict[str, Any]:
    wanted = form.cleaned_data
    return {
        "energy_wh": wanted["energy_wh"],
        "price_micro": wanted["price_micro"],
        "open_until": form.open_until,
    }


def _attempt(form: Form, action: Callable[[], T]) -> T | None:
    """What `action` gives; None, with the reason on the form, when the market or the ledger's rules say no."""
    try:
        return action()
    except OfferError as error:
        form.add_error(None, str(error))
    except Refused as error:
        form.add_error(None, reason(error.code))
    return None


def _tell(request: HttpRequest, done: str, action: Callable[[], object]) -> bool:
    """Whether `action` went through; the next page says so, or why not."""
    try:
        action()
    except OfferError as error:
        messages.error(request, str(error))
    except Refused as error:
        messages.error(request, reason(error.code))
    else:
        messages.success(request, done)
        return True
    return False

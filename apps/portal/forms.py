"""Forms of the portal. People write kWh and cents; Wh and micro-currency come out, exactly."""

import datetime as dt
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import User
from apps.assets.models import MeteringPoint
from apps.metering.choices import Register
from apps.metering.models import Measurement
from apps.metering.services.exchange import Meter
from apps.offers.models import Declaration, Offer
from apps.web.formatting import SIGNS, kwh

OPEN_DAYS = ((1, _("one day")), (3, _("three days")), (7, _("a week")), (14, _("two weeks")))
MOST_WH = 10**12
MOST_MICRO = 10**12


class NoticesForm(forms.Form):
    """Which kinds of notices come by mail; `labels` by key of the kind."""

    kinds = forms.MultipleChoiceField(label=_("By mail"), required=False, widget=forms.CheckboxSelectMultiple)

    def __init__(self, labels: Mapping[str, str], *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        field = self.fields["kinds"]
        assert isinstance(field, forms.MultipleChoiceField)  # noqa: S101 declared above
        field.choices = list(labels.items())


class ScaledField(forms.DecimalField):
    """A decimal that becomes an integer of a smaller unit: `scale` decimals are moved, more are refused."""

    def __init__(self, *, scale: int, most: int, **kwargs: Any) -> None:
        self.scale, self.most = scale, most
        kwargs.setdefault("widget", forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}))
        super().__init__(localize=True, decimal_places=scale, max_digits=30, **kwargs)
        self.error_messages["invalid"] = _("Write a number, such as 2.5.")

    def clean(self, value: Any) -> Any:
        number: Decimal | None = super().clean(value)
        if number is None:
            return None
        scaled = int(number.scaleb(self.scale))
        if scaled <= 0:
            raise ValidationError(_("Write a number above zero."), code="min_value")
        if scaled > self.most:
            raise ValidationError(_("That is more than can be right."), code="max_value")
        return scaled


class EnergyField(ScaledField):
    """kWh with at most three decimals; cleaned to Wh."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(scale=3, most=MOST_WH, **kwargs)


class PriceField(ScaledField):
    """A price per kWh in cents for euros, in whole currency otherwise; cleaned to micro-currency."""

    def __init__(self, currency: str, **kwargs: Any) -> None:
        super().__init__(scale=price_scale(currency), most=MOST_MICRO, **kwargs)


def price_scale(currency: str) -> int:
    return 4 if currency == "EUR" else 6


class OfferForm(forms.Form):
    """Configures an offer on a declaration; the surplus that is left bounds it."""

    def __init__(
        self, data: Mapping[str, Any] | None = None, *, declaration: Declaration, offer: Offer | None = None
    ) -> None:
        self.declaration = declaration
        currency = declaration.area.currency
        unit = _("ct/kWh") if currency == "EUR" else f"{SIGNS[currency]}/kWh"
        initial = {"energy_wh": _decimal(declaration.available_wh, 3), "days": 3}
        if offer is not None:
            price = _decimal(offer.price_micro, price_scale(currency))
            initial |= {"energy_wh": _decimal(offer.energy_wh, 3), "price_micro": price}
        super().__init__(data, initial=initial)
        self.fields["energy_wh"] = EnergyField(
            label=_("Energy (kWh)"),
            help_text=_("At most %(energy)s are free on this day.") % {"energy": kwh(declaration.available_wh)},
        )
        self.fields["price_micro"] = PriceField(currency, label=_("Price (%(unit)s)") % {"unit": unit})
        self.fields["days"] = forms.TypedChoiceField(
            label=_("Open for"), choices=OPEN_DAYS, coerce=int, widget=forms.RadioSelect
        )

    def clean_energy_wh(self) -> int:
        energy: int = self.cleaned_data["energy_wh"]
        if energy > self.declaration.available_wh:
            left = kwh(self.declaration.available_wh)
            raise ValidationError(_("Only %(energy)s are left of this day.") % {"energy": left}, code="too_much")
        return energy

    @property
    def open_until(self) -> dt.datetime:
        days: int = self.cleaned_data["days"]
        return (timezone.now() + dt.timedelta(days=days)).replace(microsecond=0)


class BuyForm(forms.Form):
    """Asks for an offer or a part of it, for one of the buyer's own metering points in the same area."""

    def __init__(self, data: Mapping[str, Any] | None = None, *, offer: Offer, points: Iterable[MeteringPoint]) -> None:
        self.offer = offer
        self.points = {point.pk: point for point in points}
        super().__init__(data, initial={"energy_wh": _decimal(offer.remaining_wh, 3)})
        self.fields["energy_wh"] = EnergyField(
            label=_("Energy (kWh)"),
            help_text=_("All or a part of %(energy)s.") % {"energy": kwh(offer.remaining_wh)},
        )
        choices = [(pk, str(point)) for pk, point in self.points.items()]
        # With one point there is nothing to choose.
        widget = forms.HiddenInput if len(choices) == 1 else forms.RadioSelect
        self.fields["point"] = forms.TypedChoiceField(
            label=_("For"), choices=choices, coerce=int, widget=widget, initial=choices[0][0] if choices else None
        )

    def clean_energy_wh(self) -> int:
        energy: int = self.cleaned_data["energy_wh"]
        if energy > self.offer.remaining_wh:
            left = kwh(self.offer.remaining_wh)
            raise ValidationError(_("Only %(energy)s are left of this offer.") % {"energy": left}, code="too_much")
        return energy

    def clean(self) -> dict[str, Any] | None:
        if "point" in self.errors:
            # The field may be hidden, and its error with it.
            del self.errors["point"]
            raise ValidationError(_("Choose one of your metering points in this market area."), code="point")
        return super().clean()

    @property
    def point(self) -> MeteringPoint:
        return self.points[self.cleaned_data["point"]]


class AccountForm(forms.ModelForm[User]):
    class Meta:
        model = User
        fields = ("name", "language")
        help_texts = {"name": _("As your neighbours and your utility should call you.")}


def _decimal(value: int, scale: int) -> Decimal:
    """The number that a person would write, without zeros at its end."""
    number = Decimal(value).scaleb(-scale)
    return number.quantize(Decimal(1)) if number == number.to_integral() else number.normalize()


class ReasonForm(forms.Form):
    """Why somebody decides; kept with the decision."""

    reason = forms.CharField(label=_("Reason"), max_length=500, help_text=_("Such as: the box was broken."))


class ExchangeForm(forms.Form):
    """A meter goes and another one comes. People write kWh; counters come out in Wh, by register."""

    def __init__(self, data: Mapping[str, Any] | None = None, *, measurement: Measurement) -> None:
        super().__init__(data, initial={"device": measurement.device_id, "removed_serial": measurement.serial})
        self.area = measurement.point.area
        devices = self.area.devices.order_by("name")
        self.fields["device"] = forms.ModelChoiceField(
            devices, label=_("Box that measures from then on"), help_text=_("The same one when only the meter changed.")
        )
        when = forms.DateTimeInput(attrs={"type": "datetime-local", "step": self.area.slot_seconds})
        zone = {"zone": self.area.time_zone}
        self.fields["at"] = forms.CharField(label=_("Exchanged (local time, %(zone)s)") % zone, widget=when)
        self.registers = measurement.registers or _usual_registers(measurement.point)
        for which, title in (("removed", _("Old meter: %(what)s")), ("installed", _("New meter: %(what)s"))):
            serial = forms.CharField(label=title % {"what": _("serial number")}, max_length=50, required=False)
            self.fields[f"{which}_serial"] = serial
            for register in self.registers:
                label = f"{Register(register).label} (k{Register(register).unit.label})"
                self.fields[f"{which}_{register}"] = forms.DecimalField(
                    label=title % {"what": label},
                    required=False,
                    min_value=0,
                    max_digits=15,
                    decimal_places=3,
                    localize=True,
                    widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
                )

    def clean_at(self) -> int:
        try:
            local = dt.datetime.fromisoformat(self.cleaned_data["at"])
        except ValueError:
            raise ValidationError(_("Write a day and a time.")) from None
        if local.tzinfo is not None:
            raise ValidationError(_("Write a day and a time."))
        return int(local.replace(tzinfo=self.area.zone).timestamp())

    def meter(self, which: str) -> Meter:
        """`which`: removed or installed."""
        values = {register: self.cleaned_data[f"{which}_{register}"] for register in self.registers}
        counters = {register: int(value.scaleb(3)) for register, value in values.items() if value is not None}
        return Meter(self.cleaned_data[f"{which}_serial"], counters)


def _usual_registers(point: MeteringPoint) -> list[int]:
    generation = [Register.GENERATION] if hasattr(point, "plant") else []
    return [Register.CONSUMPTION, *generation, Register.GRID_IMPORT, Register.GRID_EXPORT]

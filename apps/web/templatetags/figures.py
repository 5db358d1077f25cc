"""Template filters for numbers, money and instants: `{% load figures %}`. See apps/web/formatting.py."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from django import template

from apps.web import formatting

register = template.Library()


@register.filter
def kwh(wh: int) -> str:
    """{{ reading.wh|kwh }} -> 12.4 kWh"""
    return formatting.kwh(wh)


@register.filter
def kwh_number(wh: int) -> str:
    """{{ row.wh|kwh_number }} -> 12.40, for a column whose heading names the unit"""
    return formatting.kwh_number(wh, fixed=True)


@register.filter
def money(nano: int, currency: str) -> str:
    """{{ due.nano|money:"EUR" }} -> €86.42"""
    return formatting.money(nano, currency)


@register.filter
def money_minor(minor: int, currency: str) -> str:
    """{{ line.amount|money_minor:invoice.currency }} -> €86.42"""
    return formatting.money_minor(minor, currency)


@register.simple_tag
def unit_price(micro_per_kwh: int, currency: str, country: str | None = None) -> str:
    """{% unit_price offer.price area.currency area.country %} -> 28.50 ct/kWh"""
    return formatting.unit_price(micro_per_kwh, currency, country)


@register.filter
def percent(ppm: int) -> str:
    """{{ member.coefficient|percent }} -> 25.34%"""
    return formatting.percent(ppm)


@register.filter
def local_date(value: date | datetime, zone: ZoneInfo | None = None) -> str:
    """{{ invoice.issued_at|local_date:zone }} -> 15 March 2021; a date needs no zone"""
    return formatting.local_date(value, zone)


@register.filter
def local_time(value: datetime, zone: ZoneInfo) -> str:
    """{{ reading.received_at|local_time:zone }} -> 14:15"""
    return formatting.local_time(value, zone)


@register.filter
def local_datetime(value: datetime, zone: ZoneInfo) -> str:
    """{{ offer.valid_until|local_datetime:zone }} -> 15 March 2021, 14:15"""
    return formatting.local_datetime(value, zone)


@register.simple_tag
def slot_range(start: datetime, end: datetime, zone: ZoneInfo) -> str:
    """{% slot_range slot.start slot.end zone %} -> 14:00 to 14:15, with a dash"""
    return formatting.slot_range(start, end, zone)

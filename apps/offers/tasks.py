"""What offers need every day."""

import datetime as dt

from celery import shared_task

from apps.assets.models import MarketArea
from apps.offers.services import close_finished_offers, declare_day


@shared_task(name="offers.daily")
def run_daily() -> None:
    """Put on sale what is still in its days of trade, and end what is over."""
    for area in MarketArea.objects.select_related("utility"):
        for back in range(1, area.trade_days + 1):
            declare_day(area, area.today - dt.timedelta(days=back))
        close_finished_offers(area)

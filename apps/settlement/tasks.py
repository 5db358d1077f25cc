"""What settlement does every day."""

from celery import shared_task

from apps.assets.models import MarketArea
from apps.settlement.services.settle import settle_due_days


@shared_task(name="settlement.daily")
def run_daily() -> None:
    for area in MarketArea.objects.select_related("utility"):
        settle_due_days(area)

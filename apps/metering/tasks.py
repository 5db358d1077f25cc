from celery import shared_task

from apps.assets.models import MarketArea
from apps.metering.services.anchors import anchor_batches


@shared_task(name="metering.anchor")
def anchor_all() -> None:
    for area in MarketArea.objects.select_related("utility"):
        anchor_batches(area)

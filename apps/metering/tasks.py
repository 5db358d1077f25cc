import datetime as dt

from celery import shared_task

from apps.assets.models import MarketArea
from apps.ledger.wake import hint
from apps.metering.completeness import count_days
from apps.metering.conditions import QUICK, SLOW
from apps.metering.services.alarms import watch
from apps.metering.services.anchors import anchor_batches
from apps.metering.services.files import run_imports

# As long as a day without any reading may still be settled, and some more to look back at.
COUNTED_DAYS = 62


@shared_task(name="metering.anchor")
def anchor_all() -> None:
    for area in MarketArea.objects.select_related("utility"):
        anchor_batches(area)


@shared_task(name="metering.count")
def count_all() -> None:
    """Keep the counts of the last weeks at hand, so that the calendar only reads them."""
    for area in MarketArea.objects.all():
        count_days(area, area.today - dt.timedelta(days=COUNTED_DAYS), area.today)


@shared_task(name="metering.imports")
def store_files() -> None:
    """What waits, and what a worker that died has left."""
    run_imports()


def wake_imports() -> None:
    hint("metering.imports")


@shared_task(name="metering.watch")
def watch_all() -> None:
    for area in MarketArea.objects.all():
        watch(area, QUICK)


@shared_task(name="metering.watch_values")
def watch_all_values() -> None:
    for area in MarketArea.objects.all():
        watch(area, SLOW)

"""Addresses of the public API, version 1."""

from django.urls import include, path

from apps.metering.api import MeterBatches
from apps.metering.box_status_api import BoxStatuses
from apps.metering.channel_api import BoxChannel
from apps.metering.relay import DailyReports

urlpatterns = [
    path("meter-batches", MeterBatches.as_view(), name="meter-batches"),
    path("daily-reports", DailyReports.as_view(), name="daily-reports"),
    path("box-channel", BoxChannel.as_view(), name="box-channel"),
    path("box-status", BoxStatuses.as_view(), name="box-status"),
    path("ledger/", include("apps.portal.ledger_api.urls")),
]

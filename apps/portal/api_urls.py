"""Addresses of the public API, version 1."""

from django.urls import include, path

from apps.metering.api import MeterBatches
from apps.metering.channel_api import BoxChannel

urlpatterns = [
    path("meter-batches", MeterBatches.as_view(), name="meter-batches"),
    path("box-channel", BoxChannel.as_view(), name="box-channel"),
    path("ledger/", include("apps.portal.ledger_api.urls")),
]

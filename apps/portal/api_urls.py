"""Addresses of the public API, version 1."""

from django.urls import include, path

from apps.metering.api import MeterBatches

urlpatterns = [
    path("meter-batches", MeterBatches.as_view(), name="meter-batches"),
    path("ledger/", include("apps.portal.ledger_api.urls")),
]

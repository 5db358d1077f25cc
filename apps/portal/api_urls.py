"""Addresses of the public API, version 1."""

from django.urls import include, path

from apps.metering.api import MeterBatches
from apps.metering.channel_api import BoxChannel
from apps.metering.enrolment_api import Enrolments
from apps.metering.relay import DailyReports, KeyRotations

urlpatterns = [
    path("meter-batches", MeterBatches.as_view(), name="meter-batches"),
    path("daily-reports", DailyReports.as_view(), name="daily-reports"),
    path("key-rotations", KeyRotations.as_view(), name="key-rotations"),
    path("box-channel", BoxChannel.as_view(), name="box-channel"),
    path("enrolments", Enrolments.as_view(), name="enrolments"),
    path("ledger/", include("apps.portal.ledger_api.urls")),
]

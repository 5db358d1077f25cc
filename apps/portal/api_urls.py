"""Addresses of the public API, version 1."""

from django.urls import include, path

from apps.metering.api import MeterBatches
from apps.metering.box_status_api import BoxStatuses
from apps.metering.channel_api import BoxChannel
from apps.metering.enrolment_api import Enrolments
from apps.metering.imports_api import Import, Imports
from apps.metering.instruction_api import Instructions
from apps.metering.measures_api import Measures
from apps.metering.relay import DailyReports, KeyRotations
from apps.portal import readings_api

urlpatterns = [
    path("meter-batches", MeterBatches.as_view(), name="meter-batches"),
    path("daily-reports", DailyReports.as_view(), name="daily-reports"),
    path("key-rotations", KeyRotations.as_view(), name="key-rotations"),
    path("box-channel", BoxChannel.as_view(), name="box-channel"),
    path("instructions", Instructions.as_view(), name="instructions"),
    path("metering-points", readings_api.Points.as_view(), name="metering-points"),
    path("metering-points/<str:point_id>/readings", readings_api.Readings.as_view(), name="point-readings"),
    path("metering-points/<str:point_id>/evidence", readings_api.Evidence.as_view(), name="reading-evidence"),
    path(
        "metering-points/<str:point_id>/evidence/bundle",
        readings_api.EvidenceBundle.as_view(),
        name="reading-evidence-bundle",
    ),
    path("virtual-points/<str:point_id>/readings", readings_api.VirtualReadings.as_view(), name="virtual-readings"),
    path("imports", Imports.as_view(), name="imports"),
    path("imports/<int:pk>", Import.as_view(), name="import"),
    path("measures", Measures.as_view(), name="measures"),
    path("enrolments", Enrolments.as_view(), name="enrolments"),
    path("box-status", BoxStatuses.as_view(), name="box-status"),
    path("ledger/", include("apps.portal.ledger_api.urls")),
]

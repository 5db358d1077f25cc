"""Addresses of the ledger's part of the API."""

from django.urls import path

from apps.portal.ledger_api import views

urlpatterns = [
    path("commands", views.Commands.as_view(), name="ledger-commands"),
    path("commands/<str:command_id>", views.Outcome.as_view(), name="ledger-command"),
    path("kinds", views.Kinds.as_view(), name="ledger-kinds"),
    path("typed-data", views.TypedData.as_view(), name="ledger-typed-data"),
    path("state/<str:table>", views.StateWithoutIds.as_view(), name="ledger-state-without-ids"),
    path("state/<str:table>/<path:ids>", views.State.as_view(), name="ledger-state"),
    path("events", views.Events.as_view(), name="ledger-events"),
    path("proof/<str:command_id>", views.Proof.as_view(), name="ledger-proof"),
]

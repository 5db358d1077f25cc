"""Celery wakes workers up and keeps the clock of periodic sweeps; what there is to do stands in the database."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, task_postrun, task_prerun, worker_process_init
from django.db import close_old_connections
from django_structlog.celery.steps import DjangoStructLogInitStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "energymarket.settings.base")

app = Celery("energymarket")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(DjangoStructLogInitStep)


@setup_logging.connect
def keep_our_logging(**kwargs: Any) -> None:
    """Does nothing: that the signal has a receiver keeps Celery from replacing the logging of Django's settings."""


@worker_process_init.connect
def look_at_ledgers(**kwargs: Any) -> None:
    # Django's settings are read only now.
    from apps.ledger.services.starting import look_at_ledgers_meanwhile

    look_at_ledgers_meanwhile()


@task_prerun.connect
@task_postrun.connect
def keep_usable_connections(**kwargs: Any) -> None:
    """As around a web request; Celery itself would connect to the database anew for each task."""
    close_old_connections()

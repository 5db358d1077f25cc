"""The Django project: settings, addresses, workers and the local supervisor."""

from energymarket.celery import app as celery_app

__all__ = ["celery_app"]

"""Configuration of the web server: gunicorn -c python:energymarket.gunicorn. WEB_CONCURRENCY sets the processes."""

from typing import Any

from energymarket.settings.environment import read_environment
from energymarket.settings.logs import logging_config

_environment = read_environment()

wsgi_app = "energymarket.wsgi:application"
bind = "127.0.0.1:8000"
# Loaded once before forking, so that a wrong setting ends the start and not each worker in turn.
preload_app = True
worker_class = "gthread"
threads = 4 + _environment.boxes_waiting  # boxes that wait leave four for everybody else
timeout = 60  # seconds without a sign of life
graceful_timeout = 10
logconfig_dict = logging_config(level=_environment.log_level, as_json=not _environment.debug)
control_socket_disable = True  # it would stand in the home folder, one for all installations


def post_worker_init(worker: Any) -> None:
    # Not before the fork, which connections to a ledger do not outlive; and Django's settings are read only now.
    from apps.ledger.services.starting import look_at_ledgers_meanwhile

    look_at_ledgers_meanwhile()

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import OperationalError, connection
from django.test import Client

from apps.web import health
from energymarket.celery import app as celery_app


@pytest.fixture
def registered() -> Iterator[None]:
    health.register("lag", lambda: health.Finding(health.State.FAILED, "No entry for an hour."))
    yield
    health.unregister("lag")


def states(body: list[dict[str, str]]) -> dict[str, str]:
    return {entry["name"]: entry["state"] for entry in body}


def test_alive_without_a_database(client: Client) -> None:
    # No `db` fixture: a query would fail here.
    response = client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok\n")


@pytest.mark.django_db
def test_ready(client: Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200
    assert {"database": "ok", "broker": "ok"}.items() <= states(response.json()).items()


@pytest.mark.django_db
def test_without_the_broker_still_ready(client: Client, settings: LazySettings, tmp_path: Path) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"
    response = client.get("/readyz")
    assert response.status_code == 200
    assert states(response.json())["broker"] == "degraded"


def test_without_the_database_not_ready(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connection, "cursor", refuse)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert states(response.json())["database"] == "failed"
    assert "refused" not in response.content.decode()


@pytest.mark.django_db
def test_a_registered_check_counts(client: Client, registered: None) -> None:
    response = client.get("/readyz")
    assert response.status_code == 503
    assert {"name": "lag", "state": "failed", "detail": "No entry for an hour."} in response.json()


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="database"):
        health.register("database", health.check_database)


def test_security_headers(client: Client) -> None:
    headers = client.get("/healthz").headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_celery_only_wakes_up() -> None:
    assert celery_app.conf.task_ignore_result
    assert not celery_app.conf.result_backend
    assert celery_app.conf.task_publish_retry is False
    assert str(celery_app.conf.timezone) == "UTC"

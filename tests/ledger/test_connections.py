"""A worker's connection to the database lives from task to task, and is replaced when it is broken."""

import psycopg
import pytest
from celery.signals import task_postrun, task_prerun
from django.db import connection

from apps.ledger.tasks import push
from energymarket import celery_app
from tests.ledger.support import database_url

pytestmark = pytest.mark.django_db(transaction=True)


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    return int(pid)


def run_a_task() -> int:
    task_prerun.send(sender=push)
    try:
        return backend()
    finally:
        task_postrun.send(sender=push)


def test_the_next_task_has_the_same_connection() -> None:
    assert celery_app.conf.db_reuse_max > 1_000_000
    assert run_a_task() == run_a_task()


def test_a_broken_connection_is_replaced_before_the_next_task() -> None:
    before = run_a_task()
    with psycopg.connect(database_url(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [before])
    assert run_a_task() != before

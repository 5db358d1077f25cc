"""Two who need the same new partition at the same moment."""

import threading
import time

import psycopg
import pytest
from django.conf import settings
from django.db import connection, connections

from apps.assets.partitions import ensure_partitions

TABLE = "metering_reading"
BUCKET = (2031 - 1970) * 12  # a month that no other test uses


def lock_is_waited_for(other: psycopg.Connection) -> bool:
    row = other.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone()
    return row == (1,)


@pytest.mark.django_db(transaction=True)
def test_the_second_one_finds_what_the_first_one_made() -> None:
    failures: list[BaseException] = []

    def second() -> None:
        try:
            ensure_partitions(TABLE, [BUCKET])
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    url = settings.DATABASE_URL
    thread = threading.Thread(target=second)
    with psycopg.connect(url, dbname=connection.settings_dict["NAME"]) as first:
        first.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [TABLE])
        thread.start()
        deadline = time.monotonic() + 10
        while not lock_is_waited_for(first) and time.monotonic() < deadline:
            time.sleep(0.02)
        first.execute(f"CREATE TABLE {TABLE}_2031_01 (LIKE {TABLE} INCLUDING ALL)")
        first.execute(
            f"ALTER TABLE {TABLE} ATTACH PARTITION {TABLE}_2031_01 FOR VALUES FROM ({BUCKET}) TO ({BUCKET + 1})"
        )
    thread.join(timeout=10)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {TABLE}_2031_01")
    assert failures == []

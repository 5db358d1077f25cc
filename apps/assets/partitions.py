"""Monthly partitions of the large tables, which hold a `bucket`: months since 1970-01 in UTC."""

from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import connection, transaction
from psycopg import sql

# Those of a database that this process has made or seen.
_made: set[tuple[str, str]] = set()

_EXISTS = (
    "SELECT EXISTS (SELECT FROM pg_class WHERE relname = %s AND relnamespace = CAST(current_schema() AS regnamespace))"
)


def bucket_of(slot: int) -> int:
    """The bucket of a slot that starts at these UTC seconds."""
    start = datetime.fromtimestamp(slot, UTC)
    return (start.year - 1970) * 12 + start.month - 1


def buckets_between(start: int, end: int) -> range:
    return range(bucket_of(start), bucket_of(end - 1) + 1)


def ensure_partitions(table: str, buckets: Iterable[int]) -> None:
    """Create the partitions that are missing. Made beside the table and then attached, so that readers go on."""
    for bucket in buckets:
        name = f"{table}_{1970 + bucket // 12}_{bucket % 12 + 1:02}"
        known = (str(connection.settings_dict["NAME"]), name)
        if known in _made:
            continue
        _ensure_partition(table, bucket, name)
        # What is made in a transaction around may be undone with it.
        if not connection.in_atomic_block:
            _made.add(known)


def _ensure_partition(table: str, bucket: int, name: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [name])
        if cursor.fetchone() != (None,):
            return
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [table])
        # Not by to_regclass again: it may answer from a cache that was filled before the lock was waited for.
        cursor.execute(_EXISTS, [name])
        if cursor.fetchone() == (True,):
            return
        parent, child = sql.Identifier(table), sql.Identifier(name)
        create = sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(child, parent)
        attach = sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})")
        cursor.execute(create.as_string(cursor.connection))
        statement = attach.format(parent, child, sql.Literal(bucket), sql.Literal(bucket + 1))
        cursor.execute(statement.as_string(cursor.connection))

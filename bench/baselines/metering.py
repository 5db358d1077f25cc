"""Readings into a table by COPY, without looking at what is there; and no more than the checks of a signed batch."""

import json
from collections.abc import Mapping, Sequence

import psycopg

from apps.assets.partitions import bucket_of
from bench.head_end import Site
from evidence.canonical import decode_bytes
from evidence.readings import Reading, Statement, batch_root

TABLE = """
CREATE TABLE IF NOT EXISTS bench_reading (
    slot bigint NOT NULL, value bigint NOT NULL, batch bigint NOT NULL, area integer NOT NULL, point integer NOT NULL,
    bucket smallint NOT NULL, register smallint NOT NULL, version smallint NOT NULL, quality smallint NOT NULL,
    PRIMARY KEY (area, bucket, point, register, slot, version)
) PARTITION BY RANGE (bucket);
CREATE TABLE IF NOT EXISTS bench_reading_all PARTITION OF bench_reading DEFAULT;
"""
TYPES = ["int8", "int8", "int8", "int4", "int4", "int2", "int2", "int2", "int2"]


def copy(connection: psycopg.Connection, rows: Sequence[tuple[int, ...]]) -> None:
    """`rows` hold the columns in the table's order."""
    with connection.transaction(), connection.cursor() as cursor:
        with cursor.copy("COPY bench_reading FROM STDIN (FORMAT BINARY)") as target:
            target.set_types(TYPES)
            for row in rows:
                target.write_row(row)


def take(
    connection: psycopg.Connection, body: bytes, site: Site, readings: Sequence[Reading], ids: Mapping[bytes, int]
) -> None:
    """What nobody can leave out who takes a signed batch: its signature, its root, its rows. Asserts that they fit."""
    content = json.loads(body)
    said = content["statement"]
    device, key, root = (decode_bytes(said[name]) for name in ("device", "key", "root"))
    sequence, start, end, unit, count = (int(said[name]) for name in ("sequence", "start", "end", "unit", "count"))
    statement = Statement(device, key, sequence, start, end, unit, count, root)
    if not site.key.public_key.verifies(statement.digest, decode_bytes(content["signature"])):
        raise ValueError("the signature does not fit")
    if batch_root(readings, site.secrets) != statement.root:
        raise ValueError("the root does not fit")
    bucket = bucket_of(statement.start)
    copy(
        connection,
        [(r.slot, r.value, statement.sequence, 0, ids[r.point], bucket, r.register, 0, r.quality) for r in readings],
    )

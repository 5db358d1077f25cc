"""Readings into a table by COPY, without looking at what is there."""

from collections.abc import Sequence

import psycopg

TABLE = """
CREATE TABLE bench_reading (
    slot bigint NOT NULL, value bigint NOT NULL, batch bigint NOT NULL, area integer NOT NULL, point integer NOT NULL,
    bucket smallint NOT NULL, register smallint NOT NULL, version smallint NOT NULL, quality smallint NOT NULL,
    PRIMARY KEY (area, bucket, point, register, slot, version)
) PARTITION BY RANGE (bucket);
CREATE TABLE bench_reading_all PARTITION OF bench_reading DEFAULT;
"""
TYPES = ["int8", "int8", "int8", "int4", "int4", "int2", "int2", "int2", "int2"]


def copy(connection: psycopg.Connection, rows: Sequence[tuple[int, ...]]) -> None:
    """`rows` hold the columns in the table's order."""
    with connection.transaction(), connection.cursor() as cursor:
        with cursor.copy("COPY bench_reading FROM STDIN (FORMAT BINARY)") as target:
            target.set_types(TYPES)
            for row in rows:
                target.write_row(row)

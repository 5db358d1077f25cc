"""Records into a table by COPY, with the SHA-256 of each."""

from collections.abc import Sequence
from hashlib import sha256

import psycopg

TABLE = """
CREATE TABLE bench_entry (
    position bigint PRIMARY KEY, time bigint NOT NULL, code integer NOT NULL,
    transaction bytea NOT NULL, id bytea NOT NULL, envelope bytea NOT NULL, digest bytea NOT NULL
)
"""
TYPES = ["int8", "int8", "int4", "bytea", "bytea", "bytea", "bytea"]
Record = tuple[int, int, int, bytes, bytes, bytes]


def append(connection: psycopg.Connection, records: Sequence[Record]) -> None:
    """Records: position, time, code, transaction, id, envelope. Durable when this returns."""
    with connection.transaction(), connection.cursor() as cursor:
        with cursor.copy("COPY bench_entry FROM STDIN (FORMAT BINARY)") as target:
            target.set_types(TYPES)
            for record in records:
                target.write_row((*record, sha256(record[5]).digest()))

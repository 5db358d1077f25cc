"""The journal in PostgreSQL: a schema of its own, over connections of its own."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files

import psycopg
from psycopg import sql
from psycopg_pool import ConnectionPool

from ledger_adapters.base import Event
from ledger_adapters.contract import Code, Outcome
from ledger_adapters.embedded.store import Head
from ledger_adapters.exceptions import OutcomeUnknown, Transient

TIMEOUT = 5.0  # seconds to wait for a connection

_FROM = (
    "SELECT position, time, code, transaction, id, envelope, origin FROM entry"
    " WHERE position >= %s ORDER BY position LIMIT %s"
)
_APPLIED = (
    "SELECT position, time, code, transaction, id, envelope, origin FROM entry"
    " WHERE id = ANY(%s) AND code = 0 ORDER BY position"
)
_COPY = "COPY entry (position, time, code, transaction, id, envelope, origin) FROM STDIN (FORMAT BINARY)"


def _event(row: tuple[int, int, int, bytes, bytes, bytes, bytes]) -> Event:
    position, time, code, transaction, command, envelope, origin = row
    return Event(position, transaction, Outcome(command, Code(code), time, envelope, origin))


class Session:
    """A database transaction on the journal."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def head(self) -> Head | None:
        return self._head("SELECT size, time, checkpoint FROM head")

    def locked_head(self) -> Head | None:
        return self._head("SELECT size, time, checkpoint FROM head FOR UPDATE")

    def _head(self, query: str) -> Head | None:
        row = self._connection.execute(query).fetchone()
        return Head(*row) if row else None

    def state(self, keys: Iterable[bytes]) -> dict[bytes, bytes | None]:
        wanted = list(keys)
        values: dict[bytes, bytes | None] = dict.fromkeys(wanted)
        rows = self._connection.execute("SELECT key, value FROM state WHERE key = ANY(%s)", [wanted], binary=True)
        values.update(rows.fetchall())
        return values

    def state_entries(self) -> dict[bytes, bytes]:
        return dict(self._connection.execute("SELECT key, value FROM state", binary=True).fetchall())

    def events(self, start: int, limit: int) -> list[Event]:
        return [_event(row) for row in self._connection.execute(_FROM, [start, limit], binary=True).fetchall()]

    def applied(self, ids: Sequence[bytes]) -> list[Event]:
        return [_event(row) for row in self._connection.execute(_APPLIED, [list(ids)], binary=True).fetchall()]

    def outcomes(self, transaction: bytes) -> bytes | None:
        query = "SELECT outcomes FROM transaction WHERE id = %s"
        row = self._connection.execute(query, [transaction], binary=True).fetchone()
        return row[0] if row else None

    def tile(self, level: int, index: int) -> bytes:
        query = "SELECT hashes FROM tile WHERE level = %s AND index = %s"
        row = self._connection.execute(query, [level, index], binary=True).fetchone()
        if row is None:
            raise KeyError(f"tile {level}/{index} is missing from the journal")
        tile: bytes = row[0]
        return tile

    def write_state(self, writes: dict[bytes, bytes]) -> None:
        self._connection.execute(
            "INSERT INTO state (key, value) SELECT * FROM unnest(%s::bytea[], %s::bytea[])"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [list(writes), list(writes.values())],
        )

    def write_events(self, events: Sequence[Event]) -> None:
        with self._connection.cursor().copy(_COPY) as copy:
            copy.set_types(["int8", "int8", "int4", "bytea", "bytea", "bytea", "bytea"])
            for event in events:
                outcome = event.outcome
                place = event.position, outcome.time, int(outcome.code), event.transaction
                copy.write_row((*place, outcome.id, outcome.envelope, outcome.origin))

    def write_transaction(self, transaction: bytes, outcomes: bytes) -> None:
        query = "INSERT INTO transaction (id, outcomes) VALUES (%s, %s)"
        self._connection.execute(query, [transaction, outcomes])

    def write_tiles(self, tiles: dict[tuple[int, int], bytes]) -> None:
        self._connection.execute(
            "INSERT INTO tile (level, index, hashes) SELECT * FROM unnest(%s::smallint[], %s::bigint[], %s::bytea[])"
            " ON CONFLICT (level, index) DO UPDATE SET hashes = excluded.hashes",
            [[level for level, _ in tiles], [index for _, index in tiles], list(tiles.values())],
        )

    def write_head(self, head: Head) -> None:
        self._connection.execute(
            "INSERT INTO head (size, time, checkpoint) VALUES (%s, %s, %s)"
            " ON CONFLICT (singleton) DO UPDATE SET size = excluded.size, time = excluded.time,"
            " checkpoint = excluded.checkpoint",
            [head.size, head.time, head.checkpoint],
        )


class PostgresStore:
    """A journal in the schema `schema` of the database at `url`."""

    def __init__(self, url: str, schema: str) -> None:
        self.url = url
        self.schema = schema
        self._pool: ConnectionPool | None = None
        self._opening = threading.Lock()

    def create(self) -> None:
        """Create the schema and apply its numbered SQL files that are still missing."""
        scripts = sorted((files(__package__) / "sql").iterdir(), key=lambda script: script.name)
        with psycopg.connect(self.url) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [self.schema])
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(self.schema)))
            connection.execute("SELECT set_config('search_path', %s, true)", [self.schema])
            connection.execute("CREATE TABLE IF NOT EXISTS script (name text PRIMARY KEY)")
            done = {name for (name,) in connection.execute("SELECT name FROM script").fetchall()}
            for script in scripts:
                if script.name not in done:
                    connection.execute(sql.SQL(script.read_text()))
                    connection.execute("INSERT INTO script (name) VALUES (%s)", [script.name])

    def drop(self) -> None:
        self.close()
        with psycopg.connect(self.url) as connection:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(self.schema)))

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _connections(self) -> ConnectionPool:
        with self._opening:
            if self._pool is None:
                self._pool = ConnectionPool(
                    self.url,
                    min_size=0,
                    max_size=8,
                    timeout=TIMEOUT,
                    # Its pauses double: given up early, a server that is back is found by the next caller.
                    reconnect_timeout=TIMEOUT,
                    check=ConnectionPool.check_connection,
                    kwargs={"options": f"-c search_path={self.schema}"},
                    open=True,
                )
            return self._pool

    @contextmanager
    def _session(self) -> Iterator[Session]:
        try:
            connection = self._connections().getconn()
        except psycopg.OperationalError as error:
            raise Transient(f"the ledger's database cannot be reached: {error}") from error
        try:
            with connection:
                yield Session(connection)
        finally:
            self._connections().putconn(connection)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        with self._session() as session:
            try:
                yield session
            except psycopg.OperationalError as error:
                raise Transient(f"the ledger's database went away: {error}") from error

    @contextmanager
    def writing(self) -> Iterator[Session]:
        try:
            with self._session() as session:
                session.locked_head()
                yield session
        except psycopg.OperationalError as error:
            # The connection may have broken while the commit was on its way.
            raise OutcomeUnknown(f"the ledger's database went away: {error}") from error

    def state_entries(self) -> dict[bytes, bytes]:
        with self.reading() as session:
            return session.state_entries()

"""The journal's tables, as SQL: what each version adds to the one before."""

SCHEMA = """
CREATE TABLE device (one INTEGER PRIMARY KEY CHECK (one = 1), id BLOB NOT NULL, last_sequence INTEGER NOT NULL);
CREATE TABLE counters (
    point BLOB NOT NULL, role TEXT NOT NULL, direction TEXT NOT NULL, raw INTEGER NOT NULL, scale INTEGER NOT NULL,
    total TEXT NOT NULL, at INTEGER NOT NULL, since INTEGER NOT NULL, PRIMARY KEY (point, role, direction)
) WITHOUT ROWID;
CREATE TABLE registers (
    point BLOB NOT NULL, register INTEGER NOT NULL, until INTEGER NOT NULL, reported INTEGER NOT NULL,
    formula TEXT NOT NULL, PRIMARY KEY (point, register)
) WITHOUT ROWID;
CREATE TABLE readings (
    slot INTEGER NOT NULL, point BLOB NOT NULL, register INTEGER NOT NULL, step INTEGER NOT NULL,
    value INTEGER NOT NULL, quality INTEGER NOT NULL, PRIMARY KEY (slot, point, register)
) WITHOUT ROWID;
CREATE TABLE batches (sequence INTEGER PRIMARY KEY, count INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE refused (
    sequence INTEGER PRIMARY KEY, count INTEGER NOT NULL, body BLOB NOT NULL,
    at INTEGER NOT NULL, status INTEGER NOT NULL, problem TEXT NOT NULL
);
CREATE TABLE acknowledgement (
    one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL, status TEXT NOT NULL, at INTEGER NOT NULL
);
"""

SEVERAL_DESTINATIONS = """
CREATE TABLE deliveries (
    destination TEXT NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (destination, sequence)
) WITHOUT ROWID;
INSERT INTO deliveries SELECT 'market', sequence FROM batches;
CREATE TABLE acknowledged (
    destination TEXT PRIMARY KEY, sequence INTEGER NOT NULL, status TEXT NOT NULL, at INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO acknowledged SELECT 'market', sequence, status, at FROM acknowledgement;
DROP TABLE acknowledgement;
ALTER TABLE refused RENAME TO refused_once;
CREATE TABLE refused (
    destination TEXT NOT NULL, sequence INTEGER NOT NULL, count INTEGER NOT NULL, body BLOB NOT NULL,
    at INTEGER NOT NULL, status INTEGER NOT NULL, problem TEXT NOT NULL, PRIMARY KEY (destination, sequence)
) WITHOUT ROWID;
INSERT INTO refused SELECT 'market', sequence, count, body, at, status, problem FROM refused_once;
DROP TABLE refused_once;
ALTER TABLE batches ADD COLUMN start INTEGER NOT NULL DEFAULT 0;
CREATE TABLE totals (
    day INTEGER NOT NULL, point BLOB NOT NULL, register INTEGER NOT NULL, energy INTEGER NOT NULL,
    seconds INTEGER NOT NULL, substitutes INTEGER NOT NULL, PRIMARY KEY (day, point, register)
) WITHOUT ROWID;
CREATE TABLE reports (
    destination TEXT NOT NULL, day INTEGER NOT NULL, envelope BLOB NOT NULL, sent BLOB, state TEXT NOT NULL,
    code INTEGER, at INTEGER NOT NULL, PRIMARY KEY (destination, day)
) WITHOUT ROWID;
CREATE TABLE thinned (day INTEGER PRIMARY KEY, readings INTEGER NOT NULL, at INTEGER NOT NULL);
CREATE TABLE allowance (one INTEGER PRIMARY KEY CHECK (one = 1), bytes INTEGER NOT NULL, at INTEGER NOT NULL);
"""
VERSIONS = (SCHEMA, SEVERAL_DESTINATIONS)
VERSION = len(VERSIONS)

CREATE TABLE head (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    size bigint NOT NULL,
    time bigint NOT NULL,
    checkpoint text NOT NULL
);

CREATE TABLE entry (
    position bigint PRIMARY KEY,
    time bigint NOT NULL,
    code integer NOT NULL,
    transaction bytea NOT NULL,
    id bytea NOT NULL,
    envelope bytea NOT NULL
);

CREATE UNIQUE INDEX entry_applied ON entry (id) WHERE code = 0;

CREATE TABLE tile (
    level smallint NOT NULL,
    index bigint NOT NULL,
    hashes bytea NOT NULL,
    PRIMARY KEY (level, index)
);

CREATE TABLE transaction (
    id bytea PRIMARY KEY,
    outcomes bytea NOT NULL
);

CREATE TABLE state (
    key bytea PRIMARY KEY,
    value bytea NOT NULL
);

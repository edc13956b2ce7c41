-- The store of usrlocd: what it knows of Kamailio's usrloc, and what it did about it.
-- Texts of usrloc are BLOBs, because phones put bytes into them that are no UTF-8. Times are Unix seconds.

-- Accounts that own, or within the last hour owned, a registration.
CREATE TABLE account (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- One row of usrloc's location table, and when its ruid was first seen.
CREATE TABLE registration (
    id                 INTEGER PRIMARY KEY,
    location_table     TEXT NOT NULL,
    ruid               BLOB NOT NULL,
    account_id         INTEGER REFERENCES account (id),
    first_registration INTEGER NOT NULL,
    username           BLOB NOT NULL,
    domain             BLOB,
    contact            BLOB NOT NULL,
    received           BLOB,
    path               BLOB,
    expires            INTEGER,          -- NULL: permanent
    last_modified      INTEGER NOT NULL,
    q                  REAL,
    call_id            BLOB,
    cseq               INTEGER,
    flags              INTEGER,
    cflags             INTEGER,
    user_agent         BLOB,
    socket             BLOB,
    methods            INTEGER,
    instance           BLOB,
    reg_id             INTEGER,
    server_id          INTEGER,
    attributes_hash    INTEGER NOT NULL, -- over names and values: equal means that attribute rows need no change
    UNIQUE (location_table, ruid)
) STRICT;

-- Attributes of a registration (usrloc's location_attrs).
CREATE TABLE attribute (
    registration_id INTEGER NOT NULL REFERENCES registration (id) ON DELETE CASCADE,
    name            BLOB NOT NULL,
    value           BLOB NOT NULL,
    PRIMARY KEY (registration_id, name)
) STRICT, WITHOUT ROWID;

-- Users whose last row went a short while ago: their names stay known.
CREATE TABLE departed (
    account_id INTEGER REFERENCES account (id),
    username   BLOB NOT NULL,
    domain     BLOB,
    at         INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX departed_once
    ON departed (username, coalesce(account_id, 0), domain IS NULL, coalesce(domain, x''));

CREATE INDEX departed_at ON departed (at);

-- Registrations that a flush removed from Kamailio while their row may still be there.
CREATE TABLE hidden (
    location_table TEXT NOT NULL,
    ruid           BLOB NOT NULL,
    fingerprint    INTEGER NOT NULL,     -- 64 bits, of the row at the flush
    at             INTEGER NOT NULL,
    PRIMARY KEY (location_table, ruid)
) STRICT, WITHOUT ROWID;

-- The audit: one row for each flush.
CREATE TABLE flush (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    token      TEXT NOT NULL,            -- the token's name
    client     TEXT NOT NULL,
    request_id TEXT NOT NULL,
    account    TEXT,
    username   TEXT,
    filters    TEXT NOT NULL,
    flushed    INTEGER NOT NULL,
    failed     INTEGER NOT NULL
) STRICT;

CREATE INDEX flush_at ON flush (at);

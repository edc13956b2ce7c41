-- The audit of phones that were asked to act: one row for each request.
CREATE TABLE notify (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    token      TEXT NOT NULL,            -- the token's name
    client     TEXT NOT NULL,
    request_id TEXT NOT NULL,
    account    TEXT,
    username   TEXT,
    filters    TEXT NOT NULL,
    event      TEXT NOT NULL,
    notified   INTEGER NOT NULL,         -- phones that answered 2xx
    failed     INTEGER NOT NULL,
    ended      INTEGER                   -- NULL: it has not, or usrlocd ended before it did
) STRICT;

CREATE INDEX notify_at ON notify (at);

-- One row: which log this is, and up to where events were deleted because they were too old or too many.
CREATE TABLE log (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL,
    pruned INTEGER NOT NULL
) STRICT;

-- Event n stands at place 2n. What a registration was before it, where no other row has that, stands at 2n - 1.
CREATE TABLE event (
    place        INTEGER PRIMARY KEY,
    kind         INTEGER NOT NULL,
    after        INTEGER NOT NULL, -- milliseconds after the moment
    account      INTEGER NOT NULL,
    account_back INTEGER NOT NULL, -- places to the account's row before; 0: it is the first
    phone        INTEGER NOT NULL, -- 0: the event is not about a registration
    phone_back   INTEGER NOT NULL, -- places to the phone's row before; 0: it is the first
    body         BLOB NOT NULL,
    state        BLOB              -- how the phone differs from its base; NULL: as in its row before
) STRICT;

-- The rows of an account or phone are a chain from the newest to the oldest; these are the ways into the middle of it.
-- An index of all rows would be as large as the rows.
CREATE INDEX event_account ON event (account) WHERE place % 128 = 0;
CREATE INDEX event_phone ON event (phone) WHERE place % 128 = 0;

CREATE TABLE account (
    id   INTEGER PRIMARY KEY,
    name TEXT UNIQUE,
    last INTEGER NOT NULL -- its newest row
) STRICT;

-- 0: what is not about a registration. 1: registrations that belong to no account.
INSERT INTO account (id, name, last) VALUES (0, NULL, 0), (1, NULL, 0);

-- What many phones have in common, and user agents.
CREATE TABLE trait (
    id      INTEGER PRIMARY KEY,
    content BLOB NOT NULL UNIQUE,
    uses    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- A device of a user, as far as one can be told from another.
CREATE TABLE phone (
    id      INTEGER PRIMARY KEY,
    name    INTEGER NOT NULL, -- a hash of its account and user
    account INTEGER NOT NULL,
    common  INTEGER NOT NULL,
    agent   INTEGER NOT NULL, -- 0: none
    last    INTEGER NOT NULL, -- its newest row
    base    BLOB NOT NULL,    -- the state that others are told by their difference from
    kept    BLOB              -- the state in the newest of its rows that were deleted
) STRICT;

CREATE INDEX phone_name ON phone (name);

CREATE TRIGGER phone_added AFTER INSERT ON phone BEGIN
    UPDATE trait SET uses = uses + 1 WHERE id IN (new.common, new.agent);
END;

CREATE TRIGGER phone_removed AFTER DELETE ON phone BEGIN
    UPDATE trait SET uses = uses - 1 WHERE id IN (old.common, old.agent);
    DELETE FROM trait WHERE id IN (old.common, old.agent) AND uses = 0;
END;

-- From this place on, events happened at most 65,535 ms after `at` (milliseconds since the Unix epoch), and not before.
CREATE TABLE moment (
    place INTEGER PRIMARY KEY,
    at    INTEGER NOT NULL
) STRICT;

-- How far consumers have read.
CREATE TABLE cursor (
    consumer TEXT PRIMARY KEY,
    log      INTEGER NOT NULL,
    seq      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

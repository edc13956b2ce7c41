-- One row: which log this is, and up to where events were deleted because they were too old or too many.
CREATE TABLE log (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL,
    pruned INTEGER NOT NULL
) STRICT;

-- Event n stands at place 2n. What a registration was before it, where no other row has that, stands at 2n - 1.
CREATE TABLE event (
    place INTEGER PRIMARY KEY,
    kind  INTEGER NOT NULL,
    after INTEGER NOT NULL, -- milliseconds after the moment
    phone INTEGER NOT NULL,
    back  INTEGER NOT NULL, -- places to the phone's row before; 0: it is the first
    body  BLOB NOT NULL,
    state BLOB              -- how the phone differs from its base; NULL: as in its row before
) STRICT;

-- The rows of a phone are a chain from the newest to the oldest; these are the ways into the middle of it. An index of all
-- rows would be as large as the rows.
CREATE INDEX event_phone ON event (phone) WHERE place % 128 = 0;

-- Accounts, user agents, and what else many phones have in common.
CREATE TABLE trait (
    id      INTEGER PRIMARY KEY,
    content BLOB NOT NULL UNIQUE,
    uses    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- A device of a user, as far as one can be told from another. A trait is 0 where there is none.
CREATE TABLE phone (
    id      INTEGER PRIMARY KEY,
    name    INTEGER NOT NULL, -- hashes of its account and of its user
    account INTEGER NOT NULL,
    common  INTEGER NOT NULL,
    agent   INTEGER NOT NULL,
    base    BLOB NOT NULL,    -- the state that others are told by their difference from
    kept    BLOB              -- the state in the newest of its rows that were deleted
) STRICT;

-- The newest row of each phone, apart: it changes with each event, and so narrow rows share few pages.
CREATE TABLE newest (
    phone INTEGER PRIMARY KEY,
    place INTEGER NOT NULL
) STRICT;

-- Phone 0 has the events that are not about a registration.
INSERT INTO phone (id, name, account, common, agent, base) VALUES (0, -1, 0, 0, 0, x'');
INSERT INTO newest (phone, place) VALUES (0, 0);

CREATE INDEX phone_name ON phone (name);

CREATE TRIGGER phone_added AFTER INSERT ON phone BEGIN
    UPDATE trait SET uses = uses + 1 WHERE id IN (new.account, new.common, new.agent);
END;

CREATE TRIGGER phone_removed AFTER DELETE ON phone BEGIN
    DELETE FROM newest WHERE phone = old.id;
    UPDATE trait SET uses = uses - 1 WHERE id IN (old.account, old.common, old.agent);
    DELETE FROM trait WHERE id IN (old.account, old.common, old.agent) AND uses = 0;
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

-- A registration is one record now, whose bytes usrlocd itself encodes: one column to write and to read, whatever
-- columns Kamailio's table has. Of what was kept so far, when a ruid was first seen is taken over, in a record that
-- says nothing else and has ended long ago; the rest is read from Kamailio's tables again.
CREATE TABLE record (
    id             INTEGER PRIMARY KEY,
    location_table TEXT NOT NULL,
    ruid           BLOB NOT NULL,
    owner          INTEGER,          -- a hash of the id of the account that owns it; NULL: none
    content        BLOB NOT NULL,
    UNIQUE (location_table, ruid)
) STRICT;

INSERT INTO record (id, location_table, ruid, content)
SELECT
    id,
    location_table,
    ruid,
    CAST(
        -- Length of what follows, first registration, no account,
        unhex(printf('%02x000000%016x00', 9 + 1 + octet_length(location_table) + 2 + length(ruid) + 2, first_registration))
        -- the table, then the columns: ruid, and 1 as the second at which it ends.
        || unhex(printf('%02x', octet_length(location_table))) || location_table
        || unhex(printf('04%02x', length(ruid))) || ruid
        || x'1d02' AS BLOB
    )
FROM registration
WHERE octet_length(location_table) < 100 AND length(ruid) < 100;

CREATE TABLE gone (
    account  TEXT,
    username BLOB NOT NULL,
    domain   BLOB,
    at       INTEGER NOT NULL
) STRICT;

INSERT INTO gone (account, username, domain, at)
SELECT account.name, username, domain, at FROM departed LEFT JOIN account ON account.id = account_id;

DROP TABLE attribute;
DROP TABLE registration;
DROP TABLE departed;
DROP TABLE account;
ALTER TABLE record RENAME TO registration;
ALTER TABLE gone RENAME TO departed;

CREATE UNIQUE INDEX departed_once
    ON departed (username, coalesce(account, x''), domain IS NULL, coalesce(domain, x''));

CREATE INDEX departed_at ON departed (at);

-- What is kept is not all that the tables have.
DELETE FROM source;

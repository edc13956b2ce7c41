-- How well the store is known to equal Kamailio's tables: one row, once that has ever been so.
CREATE TABLE source (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    as_of INTEGER NOT NULL              -- the last such moment, Unix milliseconds
) STRICT;

-- Sessions of the page. Cookies know no ports, so that each store has a part of its cookie's name.
CREATE TABLE node (
    id TEXT NOT NULL
) STRICT;

INSERT INTO node (id) VALUES (lower(hex(randomblob(8))));

CREATE TABLE session (
    id     BLOB PRIMARY KEY,      -- SHA-256 of the cookie
    holder TEXT NOT NULL,         -- JSON: what tells whether its token is still good
    began  INTEGER NOT NULL,
    used   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

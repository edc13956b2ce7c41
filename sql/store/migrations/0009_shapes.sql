-- What the attributes of many registrations have in common: their records have the rest. Records of earlier versions say
-- everything themselves.
CREATE TABLE shape (
    id      INTEGER PRIMARY KEY,
    content BLOB NOT NULL
) STRICT;

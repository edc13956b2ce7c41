INSERT INTO source (id, as_of)
VALUES (1, ?1)
ON CONFLICT (id) DO UPDATE SET as_of = excluded.as_of

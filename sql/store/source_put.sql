INSERT INTO source (id, as_of, owners)
VALUES (1, ?1, ?2)
ON CONFLICT (id) DO UPDATE SET as_of = excluded.as_of, owners = excluded.owners

INSERT INTO usrlocd.log (node, log, name, newest, pruned, written_at)
VALUES ($1::uuid, $2, $3, $4, 0, now())
ON CONFLICT (node, log) DO UPDATE
SET name = excluded.name, newest = excluded.newest, written_at = excluded.written_at

INSERT INTO flush (id, at, token, client, request_id, account, username, filters, flushed, failed, ended)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT (id) DO UPDATE
SET flushed = excluded.flushed, failed = excluded.failed, ended = excluded.ended
RETURNING id

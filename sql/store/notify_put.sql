INSERT INTO notify (id, at, token, client, request_id, account, username, filters, event, notified, failed, ended)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?12, ?9, ?10, ?11)
ON CONFLICT (id) DO UPDATE
SET notified = excluded.notified, failed = excluded.failed, ended = excluded.ended
RETURNING id

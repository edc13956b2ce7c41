SELECT id, at, token, client, request_id, account, username, filters, flushed, failed, ended
FROM flush
WHERE (?1 IS NULL OR id < ?1) AND (?2 IS NULL OR account IN (SELECT value FROM json_each(?2)))
ORDER BY id DESC
LIMIT ?3

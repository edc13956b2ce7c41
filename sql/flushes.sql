SELECT at, token, client, request_id, account, username, filters, flushed, failed
FROM flush
ORDER BY id DESC
LIMIT ?1

SELECT at, token, client, request_id, account, username, filters, flushed, failed, ended
FROM flush
ORDER BY id DESC
LIMIT ?1

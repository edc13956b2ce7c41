INSERT INTO flush (at, token, client, request_id, account, username, filters, flushed, failed)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)

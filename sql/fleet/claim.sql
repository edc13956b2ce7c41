UPDATE usrlocd.node
SET epoch = epoch + 1, name = $2, version = $3, started_at = now(), beat_at = now(), stopped_at = NULL
WHERE id = $1::uuid
RETURNING epoch, seq

UPDATE usrlocd.node
SET epoch = $3, synced_epoch = $3 - 1, beat_at = now(), stopped_at = NULL
WHERE id = $1::uuid AND epoch = $2

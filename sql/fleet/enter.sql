INSERT INTO usrlocd.node (id, name, epoch, synced_epoch, started_at, beat_at, seq, rows, source_state, lag_ms, clock_offset_ms, version)
VALUES ($1::uuid, $2, $3, $3 - 1, now(), now(), $4, 0, 'unavailable', 0, 0, $5)

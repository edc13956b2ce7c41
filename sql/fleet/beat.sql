UPDATE usrlocd.node
SET beat_at = now(), seq = $3, rows = $4, source_state = $5, source_as_of = to_timestamp($6), lag_ms = $7, clock_offset_ms = $8
WHERE id = $1::uuid AND epoch = $2
RETURNING (extract(epoch FROM clock_timestamp()) * 1000)::int8

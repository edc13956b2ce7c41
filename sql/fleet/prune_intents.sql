DELETE FROM usrlocd.intent
WHERE id IN (
    SELECT id FROM usrlocd.intent WHERE node = $1::uuid AND asked_at < now() - interval '1 day' ORDER BY asked_at LIMIT 100
)

WITH me AS (SELECT id FROM usrlocd.node WHERE id = $1::uuid AND epoch = $2 AND synced_epoch = $2 FOR SHARE)
UPDATE usrlocd.intent AS i SET state = 'claimed', claimed_epoch = $2
FROM me
WHERE i.node = me.id AND i.state = 'asked' AND i.until > clock_timestamp()
RETURNING i.id::text, i.work, (extract(epoch FROM i.until - clock_timestamp()) * 1000)::int8

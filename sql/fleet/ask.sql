INSERT INTO usrlocd.intent (id, node, kind, actor, request_id, work, asked_at, until, state)
VALUES ($1::uuid, $2::uuid, $3, $4, $5, $6, now(), now() + interval '10 seconds', 'asked')

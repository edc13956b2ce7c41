INSERT INTO usrlocd.event (node, log, seq, at, type, reason, account, former, username, record)
SELECT $1::uuid, $2, new.seq, new.at, new.type, new.reason, new.account, new.former, new.username, new.record
FROM unnest($3::int8[], $4::int8[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::bytea[])
    AS new (seq, at, type, reason, account, former, username, record)
ON CONFLICT (node, log, seq) DO UPDATE
SET at = excluded.at, type = excluded.type, reason = excluded.reason, account = excluded.account,
    former = excluded.former, username = excluded.username, record = excluded.record

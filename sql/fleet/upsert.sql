INSERT INTO usrlocd.row (node, slot, seq, deadline, changed_at, account, username, realm, contact, record)
SELECT $1::uuid, new.slot, $2, new.deadline, now(), new.account, new.username, new.realm, new.contact, new.record
FROM unnest($3::int4[], $4::int8[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[])
    AS new (slot, deadline, account, username, realm, contact, record)
ON CONFLICT (node, slot) DO UPDATE
SET seq = excluded.seq, deadline = excluded.deadline, changed_at = excluded.changed_at, account = excluded.account,
    username = excluded.username, realm = excluded.realm, contact = excluded.contact, record = excluded.record

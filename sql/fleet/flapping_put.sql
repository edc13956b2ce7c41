INSERT INTO usrlocd.flapping (node, at, phones)
SELECT id, (extract(epoch FROM now()) * 1000)::int8, $3
FROM usrlocd.node
WHERE id = $1::uuid AND epoch = $2
ON CONFLICT (node) DO UPDATE SET at = excluded.at, phones = excluded.phones

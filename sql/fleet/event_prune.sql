DELETE FROM usrlocd.event
WHERE (node, log, seq) IN (SELECT * FROM unnest($1::uuid[], $2::int8[], $3::int8[]))

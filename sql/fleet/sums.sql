SELECT slot >> 9, count(*)::int8, sum(seq)::text, sum(seq * ((slot & 511) + 1))::text
FROM usrlocd.row
WHERE node = $1::uuid AND slot >= $2 AND slot < $3
GROUP BY 1

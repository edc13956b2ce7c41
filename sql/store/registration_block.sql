-- A block of records, side by side: a row for each would cost more than reading it.
SELECT max(id), CAST(group_concat(content, '') AS BLOB)
FROM (SELECT id, content FROM registration WHERE id > ?1 ORDER BY id LIMIT ?2)

-- One more than asked for means: more.
SELECT count(*), CAST(group_concat(content, '') AS BLOB)
FROM (
    SELECT content FROM registration INDEXED BY registration_owner WHERE owner = ?1 ORDER BY id LIMIT ?2 + 1
)

-- One more than asked for means: more.
SELECT count(*)
FROM (
    SELECT 1 FROM registration INDEXED BY registration_account WHERE account_id = ?1 LIMIT ?2 + 1
)

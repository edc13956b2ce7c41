SELECT registration_id, name, value
FROM attribute
WHERE registration_id IN (
    SELECT id FROM registration INDEXED BY registration_account WHERE account_id = ?1
)
ORDER BY registration_id

-- Phones of an account by the hashes of their names, with what their users are called.
SELECT phone.id, phone.base, common.content
FROM phone
JOIN trait AS common ON common.id = phone.common
WHERE phone.name BETWEEN ?1 AND ?2 AND phone.account = ?3

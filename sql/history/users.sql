-- Phones by the hash of their name, or all of an account, with what their users are called.
SELECT phone.id, phone.base, common.content
FROM phone
JOIN trait AS common ON common.id = phone.common
WHERE CASE WHEN ?1 IS NULL THEN phone.account = ?2 ELSE phone.name = ?1 AND phone.account = ?2 END

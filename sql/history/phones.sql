-- The phones of these names, the newest first, with the state in their last rows.
SELECT phone.id, phone.name, phone.account, phone.common, phone.agent, phone.last, phone.base, event.state
FROM phone
LEFT JOIN event ON event.place = phone.last
WHERE phone.name IN (SELECT value FROM json_each(?1))
ORDER BY phone.id DESC

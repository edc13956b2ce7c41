-- The phones of these names, the newest first, with the state in their last rows; and phone 0.
SELECT phone.id, phone.name, phone.account, phone.common, phone.agent, newest.place, phone.base, event.state
FROM phone
JOIN newest ON newest.phone = phone.id
LEFT JOIN event ON event.place = newest.place
WHERE phone.name = -1 OR phone.name IN (SELECT value FROM json_each(?1))
ORDER BY phone.id DESC

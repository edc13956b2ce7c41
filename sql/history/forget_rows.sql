UPDATE event SET kind = 14, phone = -1, body = x'', state = NULL
WHERE place IN (SELECT value FROM json_each(?2)) AND ?1 IS NOT NULL

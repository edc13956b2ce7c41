DELETE FROM phone
WHERE id > 0
    AND id IN (SELECT phone FROM event WHERE place <= ?1)
    AND (SELECT place FROM newest WHERE newest.phone = phone.id) <= ?1

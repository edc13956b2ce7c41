-- At most ?5 rows of these kinds from place ?1 to ?2, the newest first; those of some accounts where ?4 names any.
SELECT place, kind
FROM event
WHERE place BETWEEN ?1 AND ?2
    AND kind IN (SELECT value FROM json_each(?3))
    AND (?4 IS NULL OR phone = 0 OR (SELECT account FROM phone WHERE id = event.phone) IN (SELECT value FROM json_each(?4)))
ORDER BY place DESC
LIMIT ?5

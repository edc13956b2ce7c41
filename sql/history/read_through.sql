-- At most ?4 rows of these phones from place ?1 to ?2, the newest first: every row in between is looked at.
SELECT place, kind
FROM event
WHERE place BETWEEN ?1 AND ?2 AND phone IN (SELECT value FROM json_each(?3))
ORDER BY place DESC
LIMIT ?4

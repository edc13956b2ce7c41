-- At most ?3 rows of these phones, the newest first, from a little behind place ?2 on, back to place ?4.
WITH RECURSIVE walk (place, back, kind) AS (
    SELECT event.place, event.back, event.kind
    FROM newest
    JOIN event ON event.place = coalesce(
        (SELECT min(later.place) FROM event AS later WHERE later.phone = newest.phone AND later.place > ?2 AND later.place % 128 = 0),
        newest.place
    )
    WHERE newest.phone IN (SELECT value FROM json_each(?1)) AND event.place >= ?4
    UNION ALL
    SELECT event.place, event.back, event.kind
    FROM walk
    JOIN event ON event.place = walk.place - walk.back
    WHERE walk.back > 0 AND walk.place - walk.back >= ?4
    ORDER BY 1 DESC
    LIMIT ?3
)
SELECT place, kind FROM walk

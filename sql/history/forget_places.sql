-- Every row of these phones.
WITH RECURSIVE walk (place, back) AS (
    SELECT event.place, event.back
    FROM newest
    JOIN event ON event.place = newest.place
    WHERE newest.phone IN (SELECT value FROM json_each(?1))
    UNION ALL
    SELECT event.place, event.back
    FROM walk
    JOIN event ON event.place = walk.place - walk.back
    WHERE walk.back > 0
)
SELECT place FROM walk

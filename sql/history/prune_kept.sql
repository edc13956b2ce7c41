-- The oldest row of a phone that stays may have its state in the row before.
UPDATE phone SET kept = gone.state
FROM (SELECT phone, state, max(place) FROM event WHERE place <= ?1 GROUP BY phone) AS gone
WHERE phone.id = gone.phone
    AND gone.state IS NOT NULL
    AND (SELECT place FROM newest WHERE newest.phone = gone.phone) > ?1

-- An event between a user who is forgotten and one who is not is told no more; what other rows need of it stays.
UPDATE event SET kind = 14
WHERE place IN (SELECT value + 1 FROM json_each(?2) WHERE value % 2 = 1) AND ?1 IS NOT NULL

DELETE FROM shape WHERE id NOT IN (SELECT value FROM json_each(?1))

WITH wanted (location_table, ruid) AS (/*rows*/)
DELETE FROM registration
WHERE id IN (SELECT id FROM wanted CROSS JOIN registration USING (location_table, ruid))

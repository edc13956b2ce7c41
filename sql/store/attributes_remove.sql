WITH wanted (location_table, ruid) AS (
    VALUES /*row*/ (?, ?) /*end*/
)
DELETE FROM attribute
WHERE registration_id IN (SELECT id FROM wanted CROSS JOIN registration USING (location_table, ruid))

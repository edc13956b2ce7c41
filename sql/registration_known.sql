WITH wanted (location_table, ruid) AS (
    VALUES /*row*/ (?, ?) /*end*/
)
SELECT location_table, ruid, attributes_hash
FROM wanted CROSS JOIN registration USING (location_table, ruid)

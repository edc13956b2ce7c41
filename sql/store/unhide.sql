WITH shown (location_table, ruid, until) AS (/*rows*/)
DELETE FROM hidden
WHERE (location_table, ruid) IN (
    SELECT location_table, ruid
    FROM shown CROSS JOIN hidden USING (location_table, ruid)
    WHERE hidden.at <= shown.until
)

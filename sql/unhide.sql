DELETE FROM hidden
WHERE (location_table, ruid) IN (VALUES /*row*/ (?, ?) /*end*/)

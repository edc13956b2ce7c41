DELETE FROM hidden WHERE location_table = ?1 AND ruid = ?2

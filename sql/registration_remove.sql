DELETE FROM registration WHERE location_table = ?1 AND ruid = ?2

SELECT location_table, ruid FROM registration

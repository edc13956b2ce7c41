SELECT location_table, ruid, fingerprint, at FROM hidden ORDER BY at

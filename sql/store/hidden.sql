SELECT location_table, ruid, fingerprint, at, is_intent FROM hidden ORDER BY at

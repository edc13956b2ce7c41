INSERT INTO hidden (location_table, ruid, fingerprint, at)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (location_table, ruid) DO UPDATE
SET fingerprint = excluded.fingerprint, at = excluded.at

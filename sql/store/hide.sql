INSERT INTO hidden (location_table, ruid, fingerprint, at)
/*rows*/
ON CONFLICT (location_table, ruid) DO UPDATE
SET fingerprint = excluded.fingerprint, at = excluded.at

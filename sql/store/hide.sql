INSERT INTO hidden (location_table, ruid, fingerprint, at)
VALUES /*row*/ (?, ?, ?, ?) /*end*/
ON CONFLICT (location_table, ruid) DO UPDATE
SET fingerprint = excluded.fingerprint, at = excluded.at

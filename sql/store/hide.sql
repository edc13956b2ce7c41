INSERT INTO hidden (location_table, ruid, fingerprint, at, is_intent)
/*rows*/
ON CONFLICT (location_table, ruid) DO UPDATE
SET
    fingerprint = excluded.fingerprint,
    at = excluded.at,
    is_intent = min(is_intent, excluded.is_intent)

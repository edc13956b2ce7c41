WITH wanted (location_table, ruid, account) AS (
    VALUES /*row*/ (?, ?, ?) /*end*/
)
UPDATE registration
SET account_id = (SELECT id FROM account WHERE name = wanted.account)
FROM wanted
WHERE registration.location_table = wanted.location_table AND registration.ruid = wanted.ruid

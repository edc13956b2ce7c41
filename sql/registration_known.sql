WITH wanted (number, location_table, ruid, account) AS (
    VALUES /*row*/ (?, ?, ?, ?) /*end*/
)
SELECT
    number,
    attributes_hash,
    account_id IS (SELECT id FROM account WHERE name = wanted.account)
FROM wanted CROSS JOIN registration USING (location_table, ruid)

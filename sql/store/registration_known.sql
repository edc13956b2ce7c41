WITH wanted (number, location_table, ruid, account) AS (
    VALUES /*row*/ (?, ?, ?, ?) /*end*/
)
SELECT
    number,
    attributes_hash,
    -- By name: an account that is not there yet is no account, but not the same as none.
    wanted.account IS (SELECT name FROM account WHERE id = registration.account_id)
FROM wanted CROSS JOIN registration USING (location_table, ruid)

-- Nearly always there is nothing to do. A join in FROM would read the whole table to find that out.
WITH wanted (location_table, ruid, owner) AS (/*rows*/)
UPDATE registration
SET owner = (
    SELECT wanted.owner
    FROM wanted
    WHERE wanted.location_table = registration.location_table AND wanted.ruid = registration.ruid
)
WHERE id IN (
    SELECT id
    FROM wanted CROSS JOIN registration USING (location_table, ruid)
    WHERE registration.owner IS NOT wanted.owner
)

INSERT INTO departed (account_id, username, domain, at)
VALUES
    /*row*/ ((SELECT id FROM account WHERE name = ?), ?, ?, ?) /*end*/
ON CONFLICT (username, coalesce(account_id, 0), domain IS NULL, coalesce(domain, x'')) DO UPDATE
SET at = max(at, excluded.at)

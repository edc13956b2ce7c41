INSERT INTO departed (account_id, username, domain, at)
VALUES ((SELECT id FROM account WHERE name = ?1), ?2, ?3, ?4)
ON CONFLICT (username, coalesce(account_id, 0), domain IS NULL, coalesce(domain, x'')) DO UPDATE
SET at = max(at, excluded.at)

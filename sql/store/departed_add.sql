INSERT INTO departed (account, username, domain, at)
/*rows*/
ON CONFLICT (username, coalesce(account, x''), domain IS NULL, coalesce(domain, x'')) DO UPDATE
SET at = max(at, excluded.at)

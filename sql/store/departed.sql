SELECT account_id, username, domain, at FROM departed ORDER BY at

SELECT account, username, domain, at FROM departed ORDER BY at

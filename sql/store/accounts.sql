SELECT id, name FROM account

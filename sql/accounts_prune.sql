DELETE FROM account
WHERE id NOT IN (SELECT account_id FROM registration WHERE account_id IS NOT NULL)
  AND id NOT IN (SELECT account_id FROM departed WHERE account_id IS NOT NULL)

UPDATE usrlocd.intent SET state = 'expired'
WHERE id = ANY($1::uuid[]) AND state = 'asked' AND until <= clock_timestamp()

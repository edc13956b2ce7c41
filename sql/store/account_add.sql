INSERT INTO account (name)
VALUES /*row*/ (?) /*end*/
ON CONFLICT DO NOTHING

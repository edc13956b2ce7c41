INSERT INTO usrlocd.block (node, block, base, s0, s1, s2, s3, s4, s5, s6, s7)
VALUES ($1::uuid, $2, $3, '', '', '', '', '', '', '', '')
ON CONFLICT (node, block) DO UPDATE
SET base = excluded.base, s0 = '', s1 = '', s2 = '', s3 = '', s4 = '', s5 = '', s6 = '', s7 = ''

select cast(b.node as text), b.block, b.base, b.s0, b.s1, b.s2, b.s3, b.s4, b.s5, b.s6, b.s7
from usrlocd.block b
where (b.node, b.block) in (select * from unnest(cast($1 as uuid[]), cast($2 as int[])))

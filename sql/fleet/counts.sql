select cast(r.node as text), count(*), cast(coalesce(sum(r.seq), 0) as bigint) from usrlocd.row r where 

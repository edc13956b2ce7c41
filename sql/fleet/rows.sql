select cast(r.node as text), r.slot, r.seq, r.username, r.record from usrlocd.row r where 

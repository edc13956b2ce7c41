select r.account, count(*), min(r.realm) from usrlocd.row r where 

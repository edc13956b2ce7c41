delete from usrlocd.row where node = cast($1 as uuid)

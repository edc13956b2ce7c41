delete from usrlocd.block where node = cast($1 as uuid)

delete from usrlocd.flapping where node = cast($1 as uuid)

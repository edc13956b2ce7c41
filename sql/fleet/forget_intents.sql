delete from usrlocd.intent where node = cast($1 as uuid)

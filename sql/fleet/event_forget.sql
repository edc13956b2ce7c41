delete from usrlocd.event where username = $1 and (account = $2 or former = $2)

select cast(node as text), log, name, newest, pruned from usrlocd.log

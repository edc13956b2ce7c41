select e.node, e.log, e.seq, e.at, e.record from usrlocd.event e where 

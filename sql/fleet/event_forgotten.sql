update usrlocd.log
set pruned = last.seq
from (
    select e.node, e.log, max(e.seq) as seq
    from usrlocd.event e
    where e.username = $1 and (e.account = $2 or e.former = $2)
    group by e.node, e.log
) last
where log.node = last.node and log.log = last.log and log.pruned < last.seq

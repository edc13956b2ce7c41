select cast(e.node as text), e.log, e.seq, e.at, e.record
from unnest(cast($1 as uuid[]), cast($2 as bigint[]), cast($3 as bigint[]), cast($4 as bigint[])) as c (node, log, after, newest)
cross join lateral (
    select *
    from usrlocd.event e
    where e.node = c.node and e.log = c.log and e.seq > c.after and e.seq <= c.newest
    order by e.seq
    limit $5
) e

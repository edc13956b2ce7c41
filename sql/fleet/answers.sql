select
    cast(i.id as text),
    i.state,
    i.until <= clock_timestamp(),
    i.claimed_epoch < n.epoch,
    n.stopped_at is not null,
    cast(extract(epoch from clock_timestamp() - n.beat_at) as double precision),
    i.outcome
from usrlocd.intent i
join usrlocd.node n on n.id = i.node
where i.id = any($1::uuid[])

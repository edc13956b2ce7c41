select
    cast(id as text),
    name,
    epoch,
    synced_epoch,
    cast(extract(epoch from now() - beat_at) as double precision),
    stopped_at is not null,
    cast(rows as bigint),
    source_state,
    cast(extract(epoch from source_as_of) as double precision),
    cast(lag_ms as bigint),
    cast(clock_offset_ms as bigint),
    version,
    cast(extract(epoch from now()) as double precision),
    seq
from usrlocd.node

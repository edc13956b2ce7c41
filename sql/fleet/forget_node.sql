delete from usrlocd.node
where name = $1 and (stopped_at is not null or beat_at is null or beat_at < now() - interval '60 seconds')
returning cast(id as text)

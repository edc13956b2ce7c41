-- Of this node, and, for the first of those that live, of nodes that have been silent for an hour or were forgotten.
SELECT e.node::text, e.log, e.seq
FROM usrlocd.event e
WHERE e.at < (extract(epoch FROM now()) * 1000)::int8 - $2
    AND (
        e.node = $1::uuid
        OR $1 = (SELECT min(n.id::text) FROM usrlocd.node n WHERE n.stopped_at IS NULL AND n.beat_at > now() - interval '6 seconds')
        AND NOT EXISTS (SELECT 1 FROM usrlocd.node n WHERE n.id = e.node AND n.beat_at > now() - interval '1 hour')
    )
ORDER BY e.at
LIMIT $3

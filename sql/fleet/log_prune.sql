-- Logs that nobody goes on with, and of which nothing is left.
DELETE FROM usrlocd.log
WHERE extract(epoch FROM now() - written_at) * 1000 > $1
    AND NOT EXISTS (SELECT 1 FROM usrlocd.event e WHERE e.node = log.node AND e.log = log.log)
    AND (
        EXISTS (SELECT 1 FROM usrlocd.log newer WHERE newer.node = log.node AND newer.written_at > log.written_at)
        OR NOT EXISTS (SELECT 1 FROM usrlocd.node n WHERE n.id = log.node AND n.beat_at > now() - interval '1 hour')
    )

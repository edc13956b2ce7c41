select found.id, found.realm
from (
    select
        asked.id,
        (select r.realm from usrlocd.row r where r.account = asked.id order by r.username limit 1) as realm,
        (select r.slot from usrlocd.row r where r.account = asked.id order by r.username limit 1) as slot
    from unnest(

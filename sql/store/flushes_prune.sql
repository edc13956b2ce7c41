DELETE FROM flush WHERE at < ?1 OR id <= (SELECT max(id) FROM flush) - ?2

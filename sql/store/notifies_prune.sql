DELETE FROM notify WHERE at < ?1 OR id <= (SELECT max(id) FROM notify) - ?2

INSERT INTO session (id, holder, began, used)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (id) DO UPDATE SET used = excluded.used

INSERT INTO attribute (registration_id, name, value) VALUES (?1, ?2, ?3)

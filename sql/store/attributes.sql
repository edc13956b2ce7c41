SELECT registration_id, name, value FROM attribute ORDER BY registration_id

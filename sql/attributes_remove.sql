DELETE FROM attribute WHERE registration_id = ?1

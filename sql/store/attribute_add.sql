INSERT INTO attribute (registration_id, name, value)
VALUES
    /*row*/ ((SELECT id FROM registration WHERE location_table = ? AND ruid = ?), ?, ?) /*end*/

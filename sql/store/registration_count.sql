SELECT count(*) FROM registration

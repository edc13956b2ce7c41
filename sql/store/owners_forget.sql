UPDATE source SET owners = NULL WHERE owners IS NOT NULL

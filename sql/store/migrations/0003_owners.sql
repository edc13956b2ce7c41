-- A hash of what decided which account owns a registration, where that is the same for all of them.
ALTER TABLE source ADD COLUMN owners INTEGER;

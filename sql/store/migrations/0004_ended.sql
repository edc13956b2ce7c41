-- A flush is noted when it begins and again when it ends.
ALTER TABLE flush ADD COLUMN ended INTEGER; -- NULL: it has not, or usrlocd ended before it did

-- Those so far were noted when they ended.
UPDATE flush SET ended = at;

-- A row that a flush is about to remove is hidden too, but whether it went is not known: a start asks Kamailio.
ALTER TABLE hidden ADD COLUMN is_intent INTEGER NOT NULL DEFAULT 0;

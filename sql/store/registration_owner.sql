-- Made once a first load is over: kept up row by row it would cost that load a third more.
CREATE INDEX IF NOT EXISTS registration_owner ON registration (owner)

-- While there is no index of owners, as in a first load, to write the owner as well costs less than to look for it.
INSERT INTO registration (location_table, ruid, owner, content)
/*rows*/
ON CONFLICT (location_table, ruid) DO UPDATE SET owner = excluded.owner, content = excluded.content

-- The owner of a row that is there is not touched: an index has it, and nearly every refresh leaves it alone.
INSERT INTO registration (location_table, ruid, owner, content)
/*rows*/
ON CONFLICT (location_table, ruid) DO UPDATE SET content = excluded.content

SELECT owners
FROM source
WHERE EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = 'registration_owner')

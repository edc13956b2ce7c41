SELECT
    id,
    location_table,
    ruid,
    account_id,
    first_registration,
    username,
    domain,
    contact,
    received,
    path,
    expires,
    last_modified,
    q,
    call_id,
    cseq,
    flags,
    cflags,
    user_agent,
    socket,
    methods,
    instance,
    reg_id,
    server_id
FROM registration INDEXED BY registration_account
WHERE account_id = ?1
ORDER BY id

-- The fleet's database: what every node publishes. Portable SQL only: no trigger, extension, sequence or lock of its own.
CREATE SCHEMA IF NOT EXISTS usrlocd;

-- Which of these migrations the database has.
CREATE TABLE usrlocd.migration (
    version    int PRIMARY KEY,
    applied_at timestamptz NOT NULL
);

-- A usrlocd beside a Kamailio. Each transaction of a node begins with its row: one that has another epoch is an older
-- process, or a copy of the machine, and writes nothing.
CREATE TABLE usrlocd.node (
    id              uuid PRIMARY KEY,
    name            text COLLATE "C" NOT NULL UNIQUE,
    epoch           bigint NOT NULL,
    synced_epoch    bigint NOT NULL,            -- less than epoch: it is still comparing
    started_at      timestamptz NOT NULL,
    beat_at         timestamptz NOT NULL,       -- by the clock of this database
    stopped_at      timestamptz,                -- after a clean stop
    seq             bigint NOT NULL,            -- the number of its last transaction
    rows            int NOT NULL,
    source_state    text NOT NULL,
    source_as_of    timestamptz,
    lag_ms          int NOT NULL,
    clock_offset_ms int NOT NULL,               -- its clock minus that of this database
    version         text NOT NULL
);

-- What a node's list shows. `seq` is the transaction that wrote the row. `record` has all of it; the rest is there to
-- find, sort and count by. Text that PostgreSQL cannot hold is replaced there, and exact in `record`.
CREATE TABLE usrlocd.row (
    node       uuid NOT NULL,
    slot       int NOT NULL,
    seq        bigint NOT NULL,
    deadline   bigint NOT NULL,                 -- Unix second when it was written; 0: permanent
    changed_at timestamptz NOT NULL,
    account    text COLLATE "C",
    username   text COLLATE "C" NOT NULL,       -- in lower case
    realm      text COLLATE "C",
    contact    text COLLATE "C" NOT NULL,
    record     bytea NOT NULL,
    PRIMARY KEY (node, slot)
) WITH (fillfactor = 90);

-- Never an index on a time: rows that refreshes touch must not move in one.
CREATE INDEX row_of_account ON usrlocd.row (account, username, contact, realm, node, slot);
CREATE INDEX row_of_user ON usrlocd.row (username, contact);

-- What refreshes move of 512 slots. A write replaces one of the segments, so that little more than it is logged.
CREATE TABLE usrlocd.block (
    node  uuid NOT NULL,
    block int NOT NULL,
    base  bytea NOT NULL,
    s0    bytea NOT NULL,
    s1    bytea NOT NULL,
    s2    bytea NOT NULL,
    s3    bytea NOT NULL,
    s4    bytea NOT NULL,
    s5    bytea NOT NULL,
    s6    bytea NOT NULL,
    s7    bytea NOT NULL,
    PRIMARY KEY (node, block)
) WITH (fillfactor = 50);

-- What a reader asks a node to do: to flush registrations, or to notify phones. Whoever may write here may flush
-- everything. Past `until` nobody begins it.
CREATE TABLE usrlocd.intent (
    id            uuid PRIMARY KEY,
    node          uuid NOT NULL,
    kind          text NOT NULL,                -- flush, notify
    actor         text NOT NULL,                -- who asked, as in the audit
    request_id    text NOT NULL,                -- the same in the audit of each node
    work          text NOT NULL,                -- JSON: which registrations
    asked_at      timestamptz NOT NULL,         -- by the clock of this database
    until         timestamptz NOT NULL,
    state         text NOT NULL,                -- asked, then claimed and done, or expired
    claimed_epoch bigint,
    outcome       text,                         -- JSON
    done_at       timestamptz
);

CREATE INDEX intent_asked ON usrlocd.intent (node) WHERE state = 'asked';
CREATE INDEX intent_of_node ON usrlocd.intent (node, asked_at);

-- The logs whose events are here. `newest` and `pruned` are numbers of events: the last that was written, and the last that
-- was deleted for its age.
CREATE TABLE usrlocd.log (
    node       uuid NOT NULL,
    log        bigint NOT NULL,
    name       text COLLATE "C" NOT NULL,       -- of the node, which may be forgotten
    newest     bigint NOT NULL,
    pruned     bigint NOT NULL,
    written_at timestamptz NOT NULL,
    PRIMARY KEY (node, log)
);

-- The phones that flap on a node, as JSON, the worst first. Their scores are those of `at`, in milliseconds since the Unix
-- epoch by the clock of this database, and decay from then on.
CREATE TABLE usrlocd.flapping (
    node   uuid PRIMARY KEY,
    at     bigint NOT NULL,
    phones text NOT NULL
);

-- What happened on each node. An event that is sent again is the same row. `record` has all of it.
CREATE TABLE usrlocd.event (
    node     uuid NOT NULL,
    log      bigint NOT NULL,
    seq      bigint NOT NULL,
    at       bigint NOT NULL,                   -- milliseconds since the Unix epoch, by the node's clock
    type     text COLLATE "C" NOT NULL,
    reason   text COLLATE "C",
    account  text COLLATE "C",
    former   text COLLATE "C",                  -- the account that it belonged to before, where it is another one
    username text COLLATE "C",                  -- in lower case
    record   bytea NOT NULL,
    PRIMARY KEY (node, log, seq)
);

CREATE INDEX event_at ON usrlocd.event (at);
CREATE INDEX event_of_account ON usrlocd.event (account, at);
CREATE INDEX event_of_former ON usrlocd.event (former, at) WHERE former IS NOT NULL;
CREATE INDEX event_of_node ON usrlocd.event (at) WHERE username IS NULL;
CREATE INDEX event_of_user ON usrlocd.event (username, at);

//! usrlocd: see and manage SIP registrations beside Kamailio.
//!
//! A sidecar. Kamailio's usrloc module keeps registrations in memory and writes them to SQLite tables (`location`,
//! `location_attrs`). usrlocd reads that file as bytes, without a lock, keeps the registrations in a registry of its
//! own, and serves Kazoo's Registrations API over HTTP: list, count, flush an account, flush one user.
//!
//! # The data's way
//!
//! ```text
//! Kamailio's file, -wal, -shm
//!   └─ sqlite_file   bytes → pages → verified windows → facts: this row is there, that one is gone
//!       └─ source        rows of location and location_attrs → Binding; one Update after the other
//!           └─ accounts      Binding + directory → Registration
//!               └─ registry      all registrations in memory: listed, sorted, counted; its feed has each effect, numbered
//!                   ├─ http          lists and counts are read from the registry and nothing else
//!                   ├─ consumers     follow the feed: the store (our own SQLite) has the same rows, for the next start
//!                   ├─ fleet         follows it too: a PostgreSQL that all nodes share has what each lists
//!                   └─ events        what the feed's entries mean: a phone came, moved, changed, went, and why
//!                       └─ event_log     numbered, written to history.db, then shown: one truth for all that follows
//!                           ├─ http          streams, history, flapping, why
//!                           ├─ fleet         the events of all nodes, kept in their database
//!                           └─ webhook       HTTP receivers, each with its cursor
//! ```
//!
//! The daemon's `pipeline` joins them: what the source reports is resolved and applied by the registry's one writer.
//!
//! A REGISTER, step by step, with the function to begin reading at:
//!
//! 1. Kamailio commits the row, then each attribute.
//! 2. [`sqlite_file::Tail::step`] (its loop is `sqlite_file::tail::engine::Engine::step`) sees the index of the
//!    write-ahead log move (or, with a rollback journal, an index leaf of the table), reads the changed leaf pages in a
//!    *window* that is verified to show one committed state, and tells its [`Sink`](sqlite_file::Sink) which rows differ
//!    from those that it reported before.
//! 3. That sink is [`source::usrloc::Usrloc`]: it decodes the row, waits a moment for the first attribute, and puts the
//!    [`registration::Binding`] together. The thread that steps the tail,
//!    `source::sqlite::follow::Follower::step`, posts an [`source::Update`].
//! 4. [`Pipeline::run`](daemon::pipeline::Pipeline::run) takes the update, has [`accounts::Resolver`] find the account and
//!    device, and applies the [`registration::Registration`] by [`registry::Writer::apply_in`].
//! 5. `registry::content::Content::change` is where lists and feed change together: the row goes into the
//!    lists (`registry::state`), and each effect into the feed: how the row was listed before, how it is now, and why.
//! 6. The next `GET` has it: `http::api::answer` checks the request and calls `http::api::list::list`, which reads
//!    [`registry::Registry::list`], and that the lists as of this second (`registry::as_of`).
//! 7. [`consumers`] follow the feed through a [`registry::Subscription`], the store in batches.
//! 8. [`event_log::Keeper`] follows it too: [`events::Deriver`] makes [`events::Event`]s of its entries, observers see them
//!    (phones that flap, bursts of losses), [`event_log::History`] writes them, and [`event_log::EventLog`] shows them. Only
//!    then does a stream (`http::api::stream`) or a webhook send them, so that no crash takes back what was told. A reader
//!    is a cursor: what is of late is in memory, written as JSON once for all; what is older is read from the file.
//!
//! Where several rows have the same contact and the table cannot tell whether all are in force, `flush` asks Kamailio
//! which of them it has; the registry lists those, and all while there is no answer.
//!
//! # The command's way
//!
//! ```text
//! DELETE → http → flush → kamailio (ul.lookup, ul.rm, ul.lookup) → registry and store (hidden) → answer
//! ```
//!
//! A flush, step by step:
//!
//! 1. `http::api::flush::flush` picks the registrations that the caller's list shows, and hands them to
//!    [`flush::Flusher::flush`] in a task that goes on if the caller hangs up.
//! 2. `flush::workers` take the addresses of record, several at a time. `flush::flush_one` is the
//!    protocol for one: note the intent in the store, ask Kamailio which contacts it has, wait for a moment when nobody
//!    writes its file, remove them, ask again, judge, hide. What was there and is gone is confirmed and hidden at once (the
//!    table may keep the row until usrloc's timer runs). What belongs to another account is left alone.
//! 3. At the end Kamailio must still be the one that was asked; only then is the answer `"ok"`.
//! 4. While rows are hidden `flush::recheck` asks Kamailio about them again and again, so that a phone that is
//!    back is listed. If the program ends in the middle, the next start asks about the intents before the registry is live.
//!
//! Over the fleet `http::api::intents` writes one [`intent`](fleet::intent::Work) for each node that has chosen
//! registrations, and waits for what becomes of it. The node's [`fleet::Claims`] takes it up, within 10 s by the database's
//! clock or never, and `daemon::intents` has the same flusher do it.
//!
//! # To add something
//!
//! * *A column of usrloc*: a line in the table of [`registration::Column`]; decoding, fingerprint, store and `doctor` follow.
//!   To show it, a line in the table of [`registration::item::Field`]; JSON, CSV, filters and the API's description follow.
//! * *A consumer of the feed*: a file in [`consumers`] that owns a [`registry::Subscription`] (from
//!   [`registry::Registry::subscribe`], or from [`registry::Writer::restore`] to miss nothing of a start): it takes a
//!   [`list`](registry::Subscription::list), then waits for [`news`](registry::Subscription::news) and
//!   [`reads`](registry::Subscription::read) them in turn; after [`registry::Lagged`] it takes a list again.
//!   `daemon::Basics::start` starts it as a task with a name, which ends when its token is cancelled.
//! * *A source*: an `impl` of [`source::Source`] that hands rows to [`source::usrloc::Usrloc`].
//! * *A file of the page*: a file below `src/ui`; `build.rs` finds it.
//! * *A route*: a variant in `http::request::route`, a file in `http::api`, and a path in `http::api::openapi`.
//!
//! # Threads, channels and locks
//!
//! | thread | what it does | how it hands on |
//! |---|---|---|
//! | `worker`, one a core | tokio: HTTP, flushes, probes, reload | – |
//! | `tail` | steps the tail, or asks the database server, and puts bindings together; it alone reads Kamailio's files or tables | `Updates`: one update that later ones are laid over, so bounded by the number of rows; a bell wakes it |
//! | `pipeline` | resolves and applies: the registry's one writer | the feed: a ring of the last entries; nothing waits for a subscriber |
//! | `write_behind` | follows the feed, writes the store | what is gathered, each row once; beyond a bound it compares instead |
//! | `fleet` | follows the feed and the log of events, writes what differs to the fleet's database | the latest of each row, and a cursor in the log; nothing waits for it |
//! | `events` | follows the feed, keeps the log of events | a ring of the last events, and `history.db`; nothing waits for a reader |
//! | one of sqlx's for each connection of the store and the history | SQLite | sqlx's channel |
//! | two of `notify`'s | inotify: Kamailio's files while nothing happens; our configuration files | the bell; a `Notify` |
//! | tokio's blocking pool | restoring (one thread a core decodes what SQLite reads), directory changes, names of groups | join handles |
//!
//! Locks are held for a moment and never across an `.await`. In the order in which they may be taken:
//!
//! | lock | guards | held for |
//! |---|---|---|
//! | `Registry.content` (`RwLock`) | rows, lists, hidden rows, the feed | at most 256 rows of a change; a reader copies references |
//! | `Registry.reported` | what the source last reported, intents | a copy |
//! | `Updates.waiting`, `WriteBehind.gathered` | what waits between two threads | a merge |
//! | `EventLog.state` | the last events, and the log's id | a copy of references |
//! | `Readers.count` | how many wait for events | a look, and the keeper's rest while there are none |
//! | `Turns.callers` | who looks through very many registrations, or waits to | a look-up |
//! | `Sessions.open` | who is logged in on the page | a look-up |
//! | `Store.gate` (async) | the store while it is read at a start | until that is over |
//! | the locks of `flush` | one address of record; the queue of removals; what is known of the file's writers | one removal |
//!
//! # Glossary
//!
//! * *Address of record* (AoR), *contact*, *binding*: RFC 3261. A binding is one row of `location` with its attributes; a
//!   *registration* is a binding with its account and device, and what the API calls an *item*.
//! * *ruid*: usrloc's unique id of a contact. *Realm*: the domain of an account's phones.
//! * *Window*: reads of a file between two looks that prove one committed state. *Hint*: a key that may have changed; it
//!   may be wrong. *Fact*: a leaf read in a window. *Audit*: the rolling comparison of all leaves, which needs no hints.
//! * *Flush*: to remove from Kamailio's memory, confirmed. *Hidden*: a row that a flush removed and the table still has.
//!   *Intent*: a row that is about to be removed. *Leftover*: a row that stays in the table although the memory let go.
//! * *Superseded*: a row that Kamailio does not have while it has another one of the same contact.
//! * *Tombstone*: what is remembered of a user whose row went, for an hour.
//! * *Effect*, *entry*: what one change does to one row in the lists; an entry of the *feed* is a numbered effect.
//! * *Event*: what happened to a registration, as people and programs are told, with its number in the *log*. *Gap*: events
//!   that are missing. *Loss*: a registration that expired or was removed, with no successor within 5 s. *Burst*: many
//!   losses of one group within a minute.
//! * *Session*: a browser that has logged in on the page; it acts by the right of a token, its *holder*'s.
//! * *Write-through*, *write-back*: usrloc with `db_mode` 1 and 3, and with 2.
//!
//! # The floors
//!
//! Imports go down only, and no floor imports itself (a test keeps this):
//!
//! | floor | modules |
//! |---|---|
//! | 0 | [`cfg_lexer`], [`client`], [`clock`], [`document`], [`heartbeat`], [`own_database`], [`own_thread`], [`parallel`], [`progress`], [`rate_limited`], [`sip`], [`spreadsheet`], [`sqlite_file`], [`terminal`] |
//! | 1 | [`registration`], [`metrics`] |
//! | 2 | [`accounts`], [`config`], [`kamailio`], [`registry`], [`sessions`], [`tokens`] |
//! | 3 | [`source`], [`consumers`], [`events`] |
//! | 4 | [`event_log`], [`flush`] |
//! | 5 | [`webhook`], [`fleet`], [`logging`], [`notify`] |
//! | 6 | [`http`] |
//! | 7 | [`daemon`] |
//! | 8 | [`cli`] |

pub mod accounts;
pub mod cfg_lexer;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod consumers;
pub mod daemon;
pub mod document;
pub mod event_log;
pub mod events;
pub mod fleet;
pub mod flush;
pub mod heartbeat;
pub mod http;
pub mod kamailio;
pub mod logging;
pub mod metrics;
pub mod notify;
pub mod own_database;
pub mod own_thread;
pub mod parallel;
pub mod progress;
pub mod rate_limited;
pub mod registration;
pub mod registry;
pub mod sessions;
pub mod sip;
pub mod source;
pub mod spreadsheet;
pub mod sqlite_file;
pub mod terminal;
pub mod tokens;
pub mod webhook;

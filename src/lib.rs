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
//!                   ├─ http          the API reads the registry and nothing else
//!                   └─ consumers     follow the feed: the store (our own SQLite) has the same rows, for the next start
//! ```
//!
//! The daemon's `pipeline` joins them: what the source reports is resolved and applied by the registry's one writer.
//!
//! A REGISTER, step by step: Kamailio commits the row, then each attribute. The tail finds the new frames of the
//! write-ahead log (or, with a rollback journal, changed leaves of an index), reads the leaf pages in a window
//! that is verified to show one committed state, and reports to `source::usrloc` which rows differ from what it
//! reported before. That decodes the row, waits a moment for the first attribute, and reports the binding.
//! `accounts` finds its account and device, and the registry shows the registration; the next answer has it, and the
//! feed has an entry: how the row was listed before, how it is now, and why. The store follows the feed in batches. Where several rows have the same contact and the table cannot tell whether all are in
//! force, `flush` asks Kamailio which of them it has; the registry lists those, and all while there is no answer.
//!
//! # The command's way
//!
//! ```text
//! DELETE → http → flush → kamailio (ul.lookup, ul.rm, ul.lookup) → registry and store (hidden) → answer
//! ```
//!
//! A flush, step by step: `http` picks the registrations that the caller's list shows. For each address of record
//! `flush` asks Kamailio whether it has the contacts, has it remove them, and asks again. What was there and is
//! gone is confirmed and hidden at once (the table may keep the row until usrloc's timer runs). On disk it is hidden
//! before it is removed, and shown again if that fails: whenever the program ends, the next start hides what may be
//! gone and asks Kamailio about it. What belongs to another account is left alone. At the end Kamailio must still be
//! the one that was asked; only then is the answer `"ok"`. While rows are hidden Kamailio is asked about them again
//! and again, so that a phone that is back is listed.
//!
//! # The floors
//!
//! Imports go down only, and no floor imports itself (a test keeps this):
//!
//! | floor | modules |
//! |---|---|
//! | 0 | [`client`], [`clock`], [`document`], [`heartbeat`], [`own_thread`], [`parallel`], [`progress`], [`rate_limited`], [`sip`], [`spreadsheet`], [`sqlite_file`], [`terminal`] |
//! | 1 | [`registration`], [`metrics`] |
//! | 2 | [`accounts`], [`config`], [`kamailio`], [`registry`], [`tokens`] |
//! | 3 | [`source`], [`consumers`] |
//! | 4 | [`flush`] |
//! | 5 | [`http`], [`logging`] |
//! | 6 | [`daemon`] |
//! | 7 | [`cli`] |

pub mod accounts;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod consumers;
pub mod daemon;
pub mod document;
pub mod flush;
pub mod heartbeat;
pub mod http;
pub mod kamailio;
pub mod logging;
pub mod metrics;
pub mod own_thread;
pub mod parallel;
pub mod progress;
pub mod rate_limited;
pub mod registration;
pub mod registry;
pub mod sip;
pub mod source;
pub mod spreadsheet;
pub mod sqlite_file;
pub mod terminal;
pub mod tokens;

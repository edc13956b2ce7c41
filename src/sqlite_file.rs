//! A passive tail of a SQLite file that other processes write.
//!
//! The file, its `-wal` and its `-shm` are read as bytes: `open(O_RDONLY)`, `pread`, `fstat` and the query
//! `fcntl(F_GETLK)`. No lock is ever taken, nothing is written, no SQLite is linked to it, so a writer cannot
//! notice it: not by `SQLITE_BUSY`, not by a checkpoint that cannot finish, not by a file it does not own.
//!
//! What is learned that way is of two kinds, which are kept apart:
//!
//! * **Hints** point at keys that may have changed. They may be wrong or lost.
//! * **Facts** are leaf pages read in a *window*: between its beginning and its end the pages read were one
//!   committed state of the database, and this is verified after the reading. A leaf owns the interval of keys
//!   that its parents give it, so that one leaf shows which rows are there and which are gone.
//!
//! [`Tail`] keeps a hash of each row it has reported and reports the differences to the [`Sink`]. Hints only decide
//! which leaves are read first; a rolling audit visits all the others, so that in the end nothing depends on a hint.
//!
//! A damaged page of a table stops everything: what it held cannot be known, and half a table is not reported as a
//! whole one. A damaged hint index is done without. A row of more than 16 MiB counts as damage.
//!
//! The rooms, from the bytes up: `bytes`, `page` (b-tree nodes), `record`, `sql` and `schema` decode and are pure;
//! `file`, `locks`, `shm`, `wal`, `log`, `rollback` and `source` read files; `walker` finds leaves and `visit` compares
//! them with `known`, the memory; `tail` lends windows and decides; `activity` sees whether somebody writes. Time
//! comes in as a parameter.

mod activity;
mod bytes;
mod counters;
mod file;
mod findings;
mod header;
mod inspection;
mod known;
mod locks;
mod log;
mod page;
mod payload;
mod reason;
mod record;
mod rollback;
mod schema;
mod shm;
mod snapshot;
mod source;
mod sql;
mod table;
mod tail;
mod visit;
mod wal;
mod walker;

#[cfg(test)]
mod tests;

pub use activity::{Activity, Moment};
pub use counters::Counters;
pub use inspection::Inspection;
pub use reason::Reason;
pub use record::Value;
pub use table::{Row, Table};
pub use tail::{
    Balance, HintIndexSpec, MassRemovalGuard, Sink, State, Step, TableSpec, Tail, TailOptions,
};

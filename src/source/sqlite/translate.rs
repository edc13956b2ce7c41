//! Translates what the tail of a file reports into the terms of a source.

use crate::metrics::TailCounts;
use crate::source::{Health, Trouble};
use crate::sqlite_file::{Counters, Reason, State};

impl From<&Reason> for Trouble {
    fn from(reason: &Reason) -> Self {
        Self {
            kind: kind(reason),
            message: match reason {
                Reason::Io { source, .. } => {
                    format!("{reason}: {}", std::io::Error::from(*source))
                }
                _ => reason.to_string(),
            },
        }
    }
}

impl From<&State> for Health {
    fn from(state: &State) -> Self {
        match state {
            State::Opening => Self::Opening,
            State::CatchingUp => Self::CatchingUp,
            State::Live => Self::Live,
            State::Absent(reason) => Self::Absent(reason.into()),
            State::Blocked(reason) => Self::Blocked(reason.into()),
        }
    }
}

impl From<Counters> for TailCounts {
    fn from(counters: Counters) -> Self {
        Self {
            pages: counters.pages_read,
            bytes: counters.bytes_read,
            frames: counters.frames_followed,
            wal_restarts: counters.wal_restarts,
            gaps: counters.gaps,
            windows: counters.windows,
            windows_lost: counters.windows_lost,
            sweeps: counters.sweeps,
            audit_misses: counters.audit_misses,
            blind_spots: counters.blind_spots,
            epochs: counters.epochs,
            malformed: counters.malformed_rows,
            upserts: counters.upserts,
            deletes: counters.deletes,
            rows: counters.rows,
        }
    }
}

/// The kind of a reason, in a word for metrics.
fn kind(reason: &Reason) -> &'static str {
    match reason {
        Reason::Missing => "missing",
        Reason::Empty => "empty",
        Reason::NoTable(_) | Reason::Unsupported { .. } => "no_table",
        Reason::NoColumn { .. } | Reason::NotStored { .. } => "no_column",
        Reason::NotUnderstood { .. } => "not_understood",
        Reason::HotJournal => "hot_journal",
        Reason::Locked => "locked",
        Reason::Busy => "busy",
        Reason::Io { .. } => "io",
        Reason::NotAFile
        | Reason::NotADatabase
        | Reason::NewerFormat
        | Reason::Utf16
        | Reason::WalMismatch
        | Reason::Malformed(_) => "malformed",
    }
}

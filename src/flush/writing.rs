//! How Kamailio writes removals to its table, learned from what it says of an address of record once it is removed.
//!
//! In write-back mode (`db_mode` 2) a contact that has a row stays in memory, marked as deleted, until usrloc's timer has
//! deleted the row: the address of record is known and has no contacts. In write-through (1) and in the database alone
//! (3) row and contact go together, and the address of record is unknown then.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// How Kamailio writes removals to its table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Writes {
    /// Nothing has shown it yet.
    #[default]
    Unknown,
    /// As they happen: `db_mode` 1 and 3.
    Through,
    /// Later, by its timer: `db_mode` 2.
    Back,
}

/// What is known of a Kamailio.
#[derive(Debug, Default)]
pub(super) struct Writing(Mutex<(Option<String>, Writes)>);

impl Writing {
    /// Another one may have another configuration: what is known is that of the one that is up since `since`.
    pub(super) fn of(&self, since: Option<&str>) {
        let mut known = self.known();
        if known.0.as_deref() != since {
            *known = (since.map(str::to_owned), Writes::Unknown);
        }
    }

    /// What is known.
    pub(super) fn now(&self) -> Writes {
        self.known().1
    }

    /// Takes note of what a removal showed. Only write-back keeps an address of record without contacts; that it is
    /// unknown may also come of a timer that ran just then.
    pub(super) fn learn(&self, shown: Writes) {
        let mut known = self.known();
        if known.1 != Writes::Back && shown != Writes::Unknown {
            known.1 = shown;
        }
    }

    fn known(&self) -> MutexGuard<'_, (Option<String>, Writes)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_back_is_certain_and_ends_with_kamailio() {
        let writing = Writing::default();
        writing.of(Some("Monday"));
        writing.learn(Writes::Through);
        writing.learn(Writes::Unknown);
        assert_eq!(writing.now(), Writes::Through);
        writing.learn(Writes::Back);
        writing.learn(Writes::Through);
        writing.of(Some("Monday"));
        assert_eq!(writing.now(), Writes::Back);
        writing.of(Some("Tuesday"));
        assert_eq!(writing.now(), Writes::Unknown);
    }
}

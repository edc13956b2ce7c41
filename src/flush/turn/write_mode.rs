//! How Kamailio writes removals to its table, learned from what it answers about an address of record after a removal.
//!
//! In write-back mode (`db_mode` 2) a contact that has a row stays in memory, marked as deleted, until usrloc's timer has
//! deleted the row: the address of record is known and has no contacts. In write-through (1) and database-only mode (3)
//! row and contact go together, and the address of record is unknown afterwards.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// How Kamailio writes removals to its table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::flush) enum WriteMode {
    /// Nothing has shown it yet.
    #[default]
    Unknown,
    /// At once: `db_mode` 1 and 3.
    Through,
    /// Later, by its timer: `db_mode` 2.
    Back,
}

/// The mode that a Kamailio has shown, and since when that Kamailio is up.
#[derive(Debug, Default)]
pub(in crate::flush) struct LearnedMode(Mutex<(Option<String>, WriteMode)>);

impl LearnedMode {
    /// Forgets the mode unless it is that of the Kamailio that is up since `since`: another one may be configured
    /// differently.
    pub(in crate::flush) fn of(&self, since: Option<&str>) {
        let mut known = self.known();
        if known.0.as_deref() != since {
            *known = (since.map(str::to_owned), WriteMode::Unknown);
        }
    }

    /// The mode, as far as it is known.
    pub(in crate::flush) fn now(&self) -> WriteMode {
        self.known().1
    }

    /// Records what a removal showed. Only write-back keeps an address of record without contacts; that it is unknown
    /// may also mean that the timer ran just then.
    pub(in crate::flush) fn learn(&self, shown: WriteMode) {
        let mut known = self.known();
        if known.1 != WriteMode::Back && shown != WriteMode::Unknown {
            known.1 = shown;
        }
    }

    fn known(&self) -> MutexGuard<'_, (Option<String>, WriteMode)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_back_is_certain_and_ends_with_kamailio() {
        let mode = LearnedMode::default();
        mode.of(Some("Monday"));
        mode.learn(WriteMode::Through);
        mode.learn(WriteMode::Unknown);
        assert_eq!(mode.now(), WriteMode::Through);
        mode.learn(WriteMode::Back);
        mode.learn(WriteMode::Through);
        mode.of(Some("Monday"));
        assert_eq!(mode.now(), WriteMode::Back);
        mode.of(Some("Tuesday"));
        assert_eq!(mode.now(), WriteMode::Unknown);
    }
}

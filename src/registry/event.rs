//! What happens to the registry, as the feed has it.

use std::sync::Arc;

use super::Scope;
use super::tombstones::{has_moved, tombstone};
use crate::registration::{Change, Hidden, Key, Registration, Tombstone};

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number: one more than that of the entry before it.
    pub sequence: u64,
    /// What was committed together, or happened in one moment, shares this number.
    pub commit: u64,
    /// When, in milliseconds since the Unix epoch.
    pub at: u64,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something became of one row.
    Row(Effect),
    /// The directory changed, and with it more registrations than are reported one by one: a subscriber that follows
    /// lists has to list again.
    Directory(Arc<Reassigned>),
}

/// Rows that a new directory has given other owners or names.
#[derive(Debug)]
pub struct Reassigned {
    /// The registrations as they are now.
    pub rows: Vec<Arc<Registration>>,
    /// The users who left an account by it.
    pub tombstones: Vec<Tombstone>,
}

/// What became of one row, and of its place in the lists.
#[derive(Clone, Debug)]
pub struct Effect {
    /// Why.
    pub cause: Cause,
    /// The row was hidden, and no longer is; as it was hidden.
    pub unhidden: Option<Box<Hidden>>,
    pub(super) former: Option<Arc<Registration>>,
    pub(super) current: Option<Arc<Registration>>,
    pub(super) was: Listed,
    pub(super) is: Listed,
}

/// In which lists a row is. Rows of one contact are compared with all others in the system's list, and with those of
/// the same account in an account's.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Listed {
    pub(super) system: bool,
    /// In that of the account that owns it.
    pub(super) account: bool,
}

/// Why something became of a row.
#[derive(Clone, Debug)]
pub enum Cause {
    /// The row came, changed or went in Kamailio's table.
    Table,
    /// Its time is over; or is not over any more, because the clock was set back.
    Clock,
    /// A flush removed it, and hides what the table still has.
    Flush(Arc<FlushedBy>),
    /// Kamailio was asked: it has a contact that was not listed, or has another in place of one that was.
    Kamailio,
    /// The directory gives it another owner, or other names.
    Directory,
    /// Another row of the same contact came, changed or went, and lists show one of them.
    Sibling,
}

/// Who flushed, as the audit has it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct FlushedBy {
    /// The request's id.
    pub request_id: String,
    /// The name of the token.
    pub actor: String,
}

impl Entry {
    /// When, in whole Unix seconds.
    #[must_use]
    pub fn at_seconds(&self) -> i64 {
        i64::try_from(self.at / 1000).unwrap_or(i64::MAX)
    }
}

impl Effect {
    /// Which row it is about.
    ///
    /// # Panics
    /// Never: every effect is about a row, or about one that is hidden no longer.
    #[must_use]
    pub fn key(&self) -> &Key {
        let row = self.current.as_ref().or(self.former.as_ref());
        match row {
            Some(row) => &row.binding.key,
            None => &self.unhidden.as_ref().expect("it is about something").key,
        }
    }

    /// The registration as the list of `scope` showed it before.
    #[must_use]
    pub fn before(&self, scope: Scope<'_>) -> Option<&Arc<Registration>> {
        self.was.of(scope, self.former.as_ref())
    }

    /// The registration as the list of `scope` shows it now.
    #[must_use]
    pub fn after(&self, scope: Scope<'_>) -> Option<&Arc<Registration>> {
        self.is.of(scope, self.current.as_ref())
    }

    /// The row as it was before and as it is now, listed or not.
    #[must_use]
    pub fn rows(&self) -> (Option<&Arc<Registration>>, Option<&Arc<Registration>>) {
        (self.former.as_ref(), self.current.as_ref())
    }

    /// What became of the row itself, listed or not; `None` where it is what it was.
    #[must_use]
    pub fn row(&self) -> Option<Change<&Arc<Registration>>> {
        match (&self.former, &self.current) {
            (Some(former), Some(current)) if Arc::ptr_eq(former, current) => None,
            (_, Some(current)) => Some(Change::Upsert(current)),
            (Some(former), None) => Some(Change::Remove(former.binding.key.clone())),
            (None, None) => None,
        }
    }

    /// The user who has this row no longer: it went, or is another user's or account's.
    #[must_use]
    pub fn tombstone(&self, at: i64) -> Option<Tombstone> {
        let former = self.former.as_ref()?;
        let stays = |current: &Arc<Registration>| !has_moved(former, current);
        let stays = self.current.as_ref().is_some_and(stays);
        (!stays).then(|| tombstone(former, at))
    }

    /// Whether it says anything.
    pub(super) fn is_any(&self) -> bool {
        self.was != self.is || self.unhidden.is_some() || self.row().is_some()
    }
}

impl Listed {
    fn of<'a>(
        self,
        scope: Scope<'_>,
        row: Option<&'a Arc<Registration>>,
    ) -> Option<&'a Arc<Registration>> {
        row.filter(|row| match scope {
            Scope::System => self.system,
            Scope::Account(id) => self.account && row.account_id.as_deref() == Some(id),
        })
    }
}

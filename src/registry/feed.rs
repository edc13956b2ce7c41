//! The feed: everything that happens to the registry, once and numbered.
//!
//! The writer appends to a ring that is bounded in number and in time; a subscriber is a cursor into it. Nothing waits
//! for a subscriber: one that reads too slowly is told that it lagged, and lists again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::tombstones::{has_moved, tombstone};
use super::{Listing, Registry, Scope};
use crate::registration::{Change, Hidden, Key, Registration, Tombstone};

/// How many entries the ring holds at most.
const CAPACITY: usize = 1 << 16;

/// How long an entry stays in the ring: each one keeps a former registration in memory.
const KEEP: Duration = Duration::from_secs(3);

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

/// A subscriber has missed entries and has to list again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Lagged {
    /// It was too slow.
    #[error("{0} entries were missed")]
    Overrun(u64),
    /// The registry was loaded anew, which is not reported row by row.
    #[error("the registry was loaded anew")]
    Reloaded,
}

/// The entries of late.
#[derive(Debug)]
pub(super) struct Feed {
    ring: VecDeque<Entry>,
    capacity: usize,
    /// The next entry's number.
    next: u64,
    last_commit: u64,
    /// How often the registry changed in a way that is not reported row by row.
    reloads: u64,
    /// What `next` was at some moments of the monotonic clock, the earliest first.
    marks: VecDeque<(Duration, u64)>,
}

/// How far a subscriber has read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cursor {
    next: u64,
    reloads: u64,
}

/// A subscriber's place in the feed.
#[derive(Debug)]
pub struct Subscription {
    registry: Arc<Registry>,
    cursor: Cursor,
    owners: Option<u64>,
    news: watch::Receiver<()>,
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

impl Default for Feed {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl Feed {
    /// A feed whose ring holds so many entries.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            ring: VecDeque::new(),
            capacity,
            next: 1,
            last_commit: 0,
            reloads: 0,
            marks: VecDeque::new(),
        }
    }

    /// A number for what is committed together.
    pub(super) fn begin_commit(&mut self) -> u64 {
        self.last_commit += 1;
        self.last_commit
    }

    pub(super) fn push(&mut self, at: Duration, commit: u64, event: Event) {
        if self.ring.len() >= self.capacity {
            self.ring.pop_front();
        }
        self.ring.push_back(Entry {
            sequence: self.next,
            commit,
            at: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            event,
        });
        self.next += 1;
    }

    /// Notes that the registry changed in a way that is not reported row by row.
    pub(super) fn reload(&mut self) {
        self.reloads += 1;
        self.ring.clear();
    }

    /// Forgets entries that have been there for long enough; to be called now and then.
    pub(super) fn forget_old(&mut self, now: Duration) {
        if self.marks.back().is_none_or(|(_, next)| *next != self.next) {
            self.marks.push_back((now, self.next));
        }
        while let Some((at, next)) = self.marks.front().copied()
            && now.saturating_sub(at) >= KEEP
        {
            let first = self.next - self.ring.len() as u64;
            let old = usize::try_from(next.saturating_sub(first)).unwrap_or(usize::MAX);
            self.ring.drain(..old.min(self.ring.len()));
            if self.ring.is_empty() {
                self.ring.shrink_to_fit();
            }
            if self.marks.len() == 1 {
                return;
            }
            self.marks.pop_front();
        }
    }

    /// The place after the last entry.
    pub(super) fn end(&self) -> Cursor {
        Cursor {
            next: self.next,
            reloads: self.reloads,
        }
    }

    /// At most `limit` entries after the cursor, which moves on.
    pub(super) fn read(&self, cursor: &mut Cursor, limit: usize) -> Result<Vec<Entry>, Lagged> {
        if cursor.reloads != self.reloads {
            return Err(Lagged::Reloaded);
        }
        let behind = self.next - cursor.next;
        let there = self.ring.len() as u64;
        if behind > there {
            return Err(Lagged::Overrun(behind - there));
        }
        let skip = usize::try_from(there - behind).unwrap_or(usize::MAX);
        let entries: Vec<Entry> = self.ring.range(skip..).take(limit).cloned().collect();
        cursor.next += entries.len() as u64;
        Ok(entries)
    }
}

impl Subscription {
    pub(super) fn new(registry: Arc<Registry>, cursor: Cursor) -> Self {
        let news = registry.news();
        Self {
            registry,
            cursor,
            owners: None,
            news,
        }
    }

    /// What is followed.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Waits until something may have happened since this was last waited for.
    pub async fn news(&mut self) {
        // The registry, which is kept here, has the sender.
        let _ = self.news.changed().await;
    }

    /// At most `limit` entries that have not been read yet; none where nothing has happened since.
    ///
    /// # Errors
    /// [`Lagged`], until this is [begun again](Self::restart) or a [list](Self::list) is taken.
    pub fn read(&mut self, limit: usize) -> Result<Vec<Entry>, Lagged> {
        let (entries, owners) = self.registry.read_feed(&mut self.cursor, limit)?;
        self.owners = owners;
        Ok(entries)
    }

    /// The rules by which every row belongs to its account, as a hash, at the place that has been read to; `None` where
    /// there may be more to read.
    #[must_use]
    pub fn owners(&self) -> Option<u64> {
        self.owners
    }

    /// Goes on from now, whatever was missed.
    pub fn restart(&mut self) {
        self.cursor = self.registry.end_of_feed();
        self.owners = None;
    }

    /// The registrations of `scope`, in order, and goes on from the moment that this list is of: the entries that follow
    /// are exactly what becomes of it. (What ends in this very second may still be listed; its entry follows.)
    pub fn list(&mut self, scope: Scope<'_>) -> Listing {
        let (listing, cursor) = self.registry.list_with_cursor(scope);
        self.cursor = cursor;
        listing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::testing::{binding, registration};

    fn event(ruid: usize) -> Event {
        let row = registration(binding(&ruid.to_string(), "bob", "a", 60), None);
        Event::Row(Effect {
            cause: Cause::Table,
            unhidden: None,
            former: None,
            current: Some(Arc::new(row)),
            was: Listed::default(),
            is: Listed::default(),
        })
    }

    fn feed(entries: usize) -> Feed {
        let mut feed = Feed::with_capacity(4);
        (0..entries).for_each(|number| feed.push(Duration::ZERO, 1, event(number)));
        feed
    }

    fn numbers(entries: &[Entry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.sequence).collect()
    }

    #[test]
    fn entries_come_once_in_order_and_in_portions() {
        let mut feed = feed(0);
        let mut cursor = feed.end();
        (0..3).for_each(|number| feed.push(Duration::ZERO, 1, event(number)));
        assert_eq!(numbers(&feed.read(&mut cursor, 2).unwrap()), [1, 2]);
        assert_eq!(numbers(&feed.read(&mut cursor, 2).unwrap()), [3]);
        assert!(feed.read(&mut cursor, 2).unwrap().is_empty());
    }

    #[test]
    fn a_slow_subscriber_learns_how_much_it_missed() {
        let mut feed = feed(0);
        let mut cursor = feed.end();
        (0..4).for_each(|number| feed.push(Duration::ZERO, 1, event(number)));
        assert_eq!(feed.read(&mut cursor.clone(), 9).unwrap().len(), 4);
        feed.push(Duration::ZERO, 1, event(4));
        let lagged = feed.read(&mut cursor, 9).unwrap_err();
        assert_eq!(lagged, Lagged::Overrun(1));
        cursor = feed.end();
        assert_eq!(feed.read(&mut cursor, 9).unwrap().len(), 0);
        feed.reload();
        assert_eq!(feed.read(&mut cursor, 9).unwrap_err(), Lagged::Reloaded);
    }

    #[test]
    fn entries_go_after_some_seconds() {
        let at = Duration::from_secs;
        let mut feed = feed(0);
        let mut cursor = feed.end();
        feed.push(Duration::ZERO, 1, event(1));
        feed.forget_old(at(100));
        feed.push(Duration::ZERO, 1, event(2));
        feed.forget_old(at(101));
        feed.forget_old(at(102));
        assert_eq!(feed.read(&mut cursor.clone(), 9).unwrap().len(), 2);
        feed.forget_old(at(103));
        let lagged = feed.read(&mut cursor.clone(), 9).unwrap_err();
        assert_eq!(lagged, Lagged::Overrun(1));
        feed.forget_old(at(104));
        let lagged = feed.read(&mut cursor, 9).unwrap_err();
        assert_eq!(lagged, Lagged::Overrun(2));
        feed.push(Duration::ZERO, 1, event(3));
        cursor.next = 3;
        assert_eq!(numbers(&feed.read(&mut cursor, 9).unwrap()), [3]);
    }
}

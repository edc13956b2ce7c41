//! The registry: every registration in memory, ready to be listed, counted and found.
//!
//! Rows of the tables go in as changes; what comes out are the *listed* registrations: valid in this second, not hidden
//! by a flush, one where several rows are the same binding, and known to Kamailio where only it can tell. Lists are kept
//! sorted and counted as rows change, so that reading costs what is read. Each account has a list of its own, which no
//! row of another account changes.
//!
//! `state` is what the writer changes and `lists` what it keeps sorted; `as_of` is what readers see of it, `content` puts
//! whatever is done into `feed`, and a `subscription` follows that. `preload` and `startup` are for the seconds of a start.
//!
//! One lock has it all, and there are three ways to it: [`Registry`] reads, for anybody; [`Writer`] applies what sources
//! and the directory say, for the pipeline alone; [`Overlay`] hides and decides, for flushes. Whatever they do to a row or
//! to a list is in the [feed](Subscription), once and numbered, and consumers follow that.

mod as_of;
mod content;
mod event;
mod feed;
mod lists;
mod overlay;
mod preload;
mod source;
mod startup;
mod state;
mod subscription;
#[cfg(test)]
mod tests;
mod tombstones;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use as_of::AsOf;
use content::Content;
pub use event::{Cause, Effect, Entry, Event, FlushedBy, Reassigned};
use feed::Cursor;
pub use feed::Lagged;
pub use lists::listing::{Listing, Page};
pub use lists::order::Position;
pub use overlay::Overlay;
use preload::Preload;
use source::ReportedSource;
pub use source::{Freshness, SourceReport, SourceState};
pub use startup::Starting;
use startup::Startup;
use state::State;
pub use state::ambiguous::{Ambiguous, Due};
pub use state::restore::Snapshot;
pub use subscription::Subscription;
use tokio::sync::{Notify, watch};
pub use writer::{Commit, Writer};

use crate::clock::Clock;
use crate::heartbeat::Heartbeat;
use crate::registration::{Hidden, Key, Registration, Text, Tombstone};
use crate::sip::Transport;

/// Rows, by what becomes of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Listed ones, by the place of their transport in [`Transport::ALL`]; the last have none that is known.
    pub listed: [usize; Transport::ALL.len() + 1],
    /// Those that a flush hides.
    pub hidden: usize,
    /// Those that Kamailio does not have, while it has another one with the same contact.
    pub superseded: usize,
    /// All of them.
    pub rows: usize,
}

/// Whose registrations are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope<'a> {
    /// All there are.
    System,
    /// Those of the account with this id.
    Account(&'a str),
}

/// How long an account or username stays known after its last row went, in seconds.
pub const KNOWN_FOR: i64 = 3600;

/// How many rows are changed at a time, at most: readers wait for no more.
const AT_ONCE: usize = 256;

/// Every registration, for those who read.
#[derive(Debug)]
pub struct Registry {
    clock: Arc<dyn Clock>,
    content: RwLock<Content>,
    reported: Mutex<Reported>,
    startup: Startup,
    cycle: Arc<AtomicU64>,
    heartbeat: Arc<Heartbeat>,
    /// Touched when more accounts have been preloaded, when all rows have been restored, and when they have been compared
    /// with the tables.
    progress: watch::Sender<()>,
    /// Told when an account is to be preloaded.
    wanted: Notify,
    /// Told when there are rows that only Kamailio can tell apart.
    ambiguous: Notify,
    /// Told when a hidden row changed in a way that only Kamailio can explain.
    doubts: Arc<Notify>,
    /// Touched when the feed has more.
    news: watch::Sender<()>,
    /// Told when a reader came to a second before the writer did.
    overdue: Notify,
}

/// What the pipeline reports about its source.
#[derive(Debug, Default)]
struct Reported {
    source: ReportedSource,
    /// The file of Kamailio's tables, once it is known.
    file: Option<PathBuf>,
    /// Why the tables cannot be read now.
    trouble: Option<Arc<str>>,
    /// Whether every row of the tables has been read since the start.
    compared: bool,
    /// What a flush was about to remove when an earlier run ended, until Kamailio has been asked about it.
    intents: Vec<Hidden>,
}

impl Registry {
    fn new(clock: Arc<dyn Clock>) -> Self {
        let content = Content::new(clock.unix_seconds());
        Self {
            clock,
            content: RwLock::new(content),
            reported: Mutex::default(),
            startup: Startup::default(),
            cycle: Arc::default(),
            heartbeat: Arc::default(),
            progress: watch::Sender::new(()),
            wanted: Notify::new(),
            ambiguous: Notify::new(),
            doubts: Arc::default(),
            news: watch::Sender::new(()),
            overdue: Notify::new(),
        }
    }

    /// The registrations of `scope`, in order. Takes a moment's copy of references: what is read from it later
    /// is of that moment.
    #[must_use]
    pub fn list(&self, scope: Scope<'_>) -> Listing {
        self.read(scope, |lists| lists.list(scope))
    }

    /// At most `limit` of them, after `position`.
    #[must_use]
    pub fn page(&self, scope: Scope<'_>, after: Option<&Position>, limit: usize) -> Page {
        self.read(scope, |lists| lists.page(scope, after, limit))
    }

    /// The registrations of the SIP users whom a name means: in any case of letters, unless one is spelled exactly so;
    /// with U+FFFD in it all that are shown so.
    #[must_use]
    pub fn list_user(&self, scope: Scope<'_>, username: &[u8]) -> Listing {
        self.read(scope, |lists| lists.list_user(scope, username))
    }

    /// How many registrations `scope` has, and their revision.
    #[must_use]
    pub fn count(&self, scope: Scope<'_>) -> (usize, u64) {
        self.read(scope, |lists| lists.count(scope))
    }

    /// At most `count` listed registrations that are `wanted`: those that were modified last, the latest first.
    #[must_use]
    pub fn newest(
        &self,
        count: usize,
        wanted: impl Fn(&Registration) -> bool,
    ) -> Vec<Arc<Registration>> {
        self.read(Scope::System, |lists| lists.newest(count, wanted))
    }

    /// Every row of the address of record `username@domain` that is valid now and not hidden, listed or not.
    #[must_use]
    pub fn rows_of(&self, username: &Text, domain: Option<&Text>) -> Vec<Arc<Registration>> {
        self.read(Scope::System, |lists| lists.rows_of(username, domain))
    }

    /// Those of them that a list shows.
    #[must_use]
    pub fn listed_of(&self, username: &Text, domain: Option<&Text>) -> Vec<Arc<Registration>> {
        self.read(Scope::System, |lists| lists.listed_of(username, domain))
    }

    /// Whether the address of record `username@domain` in `table` is not the account's alone: it has a row of another
    /// account or of none, listed or not; or it has no row, and the last one, within the last hour, was not the account's.
    #[must_use]
    pub fn is_anothers(
        &self,
        account: &str,
        table: &str,
        username: &Text,
        domain: Option<&Text>,
    ) -> bool {
        self.read(Scope::System, |lists| {
            lists.is_anothers(account, table, username, domain)
        })
    }

    /// Whether a row of this domain, listed or not, belongs to another account or to none.
    #[must_use]
    pub fn shares_domain(&self, account: &str, domain: Option<&Text>) -> bool {
        self.read(Scope::System, |lists| lists.shares_domain(account, domain))
    }

    /// Whether a row belongs to the account, or one did within the last hour.
    #[must_use]
    pub fn knows_account(&self, id: &str) -> bool {
        self.read(Scope::Account(id), |lists| lists.knows_account(id))
    }

    /// The addresses of record (`username`, `domain`) of the users whom a name means, as in [`Registry::list_user`], that
    /// have a row, or had one within the last hour.
    #[must_use]
    pub fn known_aors(&self, scope: Scope<'_>, username: &[u8]) -> Vec<(Text, Option<Text>)> {
        self.read(scope, |lists| lists.known_aors(scope, username))
    }

    /// How many rows there are, by what becomes of them; kept as rows change, so that asking costs nothing.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.read(Scope::System, |lists| lists.counts())
    }

    /// How many rows are not listed because Kamailio does not have them while it has another one of the same contact.
    #[must_use]
    pub fn superseded(&self) -> usize {
        self.read(Scope::System, |lists| lists.superseded())
    }

    /// The ids of the accounts that have rows, with the number of their listed registrations.
    #[must_use]
    pub fn accounts(&self) -> Vec<(Arc<str>, usize)> {
        self.read(Scope::System, |lists| lists.accounts())
    }

    /// The registration made of the row with this key, listed or not.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<Registration>> {
        self.content().state.get(key)
    }

    /// Whether there is a row with this key, listed or not.
    #[must_use]
    pub fn has(&self, key: &Key) -> bool {
        self.content().state.rows.contains(key)
    }

    /// Every row there is, listed or not.
    #[must_use]
    pub fn rows(&self) -> Vec<Arc<Registration>> {
        self.content().state.rows.all().to_vec()
    }

    /// The same a part at a time, without a copy of all: at most `limit` of the rows before the place `before`, and
    /// the place where those begin. Walked from the end to 0, this comes by every row that is there all the while;
    /// what becomes of rows meanwhile is in the feed.
    #[must_use]
    pub fn rows_before(&self, before: usize, limit: usize) -> (Vec<Arc<Registration>>, usize) {
        let content = self.content();
        let rows = content.state.rows.all();
        let end = before.min(rows.len());
        let begin = end.saturating_sub(limit);
        (rows[begin..end].to_vec(), begin)
    }

    /// Whether a flush hides the row with this key.
    #[must_use]
    pub fn is_hidden(&self, key: &Key) -> bool {
        self.content().state.hidden.contains_key(key)
    }

    /// The rows that are hidden now.
    #[must_use]
    pub fn hidden(&self) -> Vec<(Hidden, Arc<Registration>)> {
        let content = self.content();
        let state = &content.state;
        let row = |hidden: &Hidden| Some((hidden.clone(), state.get(&hidden.key)?));
        state.hidden.values().filter_map(row).collect()
    }

    /// The users whose rows went within the last hour, the earliest first.
    #[must_use]
    pub fn tombstones(&self) -> Vec<Tombstone> {
        self.content().state.tombstones.all()
    }

    /// Follows what happens from now on.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>) -> Subscription {
        let end = self.end_of_feed();
        Subscription::new(Arc::clone(self), end)
    }

    /// Touched when the feed has more.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Entries of the feed and, where these are the last ones, the rules by which rows belong to accounts after them.
    fn read_feed(
        &self,
        cursor: &mut Cursor,
        limit: usize,
    ) -> Result<(Vec<Entry>, Option<u64>), Lagged> {
        let content = self.content();
        let entries = content.feed.read(cursor, limit)?;
        let owners = content.owners.filter(|_| *cursor == content.feed.end());
        Ok((entries, owners))
    }

    /// The number of the last entry of the feed.
    #[must_use]
    pub fn last_entry(&self) -> u64 {
        self.end_of_feed().read_to()
    }

    fn end_of_load(&self) -> Cursor {
        self.content().feed.reloaded()
    }

    fn end_of_feed(&self) -> Cursor {
        self.content().feed.end()
    }

    /// A list as of the last entry of the feed, and the place after that.
    fn list_with_cursor(&self, scope: Scope<'_>) -> (Listing, Cursor) {
        let content = self.content();
        let lists = AsOf::new(&content.state, content.state.now);
        (lists.list(scope), content.feed.end())
    }

    /// Reads what `scope` has: what is known early, where all is not known yet.
    fn read<T>(&self, scope: Scope<'_>, read: impl FnOnce(AsOf<'_>) -> T) -> T {
        let content = self.content();
        let early = content.preload.as_ref().and_then(Preload::lists);
        let state = match (early, scope) {
            (Some(early), Scope::Account(_)) => early,
            _ => &content.state,
        };
        let lists = AsOf::new(state, self.clock.unix_seconds());
        if lists.differs() {
            self.overdue.notify_one();
        }
        read(lists)
    }

    /// Changes the state, and reports what that does. To be called by [`Writer`] and [`Overlay`] alone.
    fn change<T>(
        &self,
        cause: Cause,
        commit: Option<Commit>,
        change: impl FnOnce(&mut State) -> T,
    ) -> T {
        self.write(|content, now| content.change(now, cause, commit, change))
    }

    /// Changes the content as of now, and wakes those who wait for what came of it.
    fn write<T>(&self, change: impl FnOnce(&mut Content, Duration) -> T) -> T {
        let mut content = self.content_to_change();
        let former = content.feed.end();
        let now = self.clock.unix();
        content.advance(now);
        let result = change(&mut content, now);
        let is_news = content.feed.end() != former;
        let is_doubtful = std::mem::take(&mut content.state.is_doubtful);
        let is_ambiguous = !content.state.ambiguities.is_empty();
        drop(content);
        if is_news {
            self.news.send_replace(());
        }
        if is_doubtful {
            self.doubts.notify_one();
        }
        if is_ambiguous {
            self.ambiguous.notify_one();
        }
        result
    }

    // A panic while a lock was held leaves what it is about complete enough to go on: each row stands for itself.

    fn content(&self) -> RwLockReadGuard<'_, Content> {
        self.content.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn content_to_change(&self) -> RwLockWriteGuard<'_, Content> {
        self.content.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn reported(&self) -> MutexGuard<'_, Reported> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The registry: every registration in memory, ready to be listed, counted and found.
//!
//! The tables' rows go in as [`Change`]s; what comes out are the *listed* registrations: valid to the second, not
//! hidden by a flush, once where several rows are the same binding, and known to Kamailio where several may be. Lists are kept sorted and counted as rows change, so that
//! reading costs what is read. Each account has a list of its own, which no row of another account changes. The store keeps the same rows on disk; the registry never waits for it.

mod ambiguous;
mod arrange;
mod identity;
mod index;
mod listing;
mod named;
mod order;
mod preload;
mod restore;
mod source;
mod startup;
mod state;
#[cfg(test)]
mod tests;
mod tombstones;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use ambiguous::{Ambiguous, Due};
pub use listing::{Listing, Page};
pub use order::Position;
use preload::Preload;
pub use restore::Snapshot;
use source::ReportedSource;
pub use source::{Freshness, Source, SourceState};
pub use startup::Starting;
use startup::Startup;
use state::State;
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::heartbeat::Heartbeat;
use crate::registration::{Hidden, Key, Registration, Text, Tombstone};
use crate::sip::Transport;

/// What became of a registration.
#[derive(Clone, Debug)]
pub enum Change {
    /// It is there, with this content.
    Upsert(Arc<Registration>),
    /// Its row is gone.
    Remove(Key),
}

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

/// What followed from changes, for the store to keep.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Effects {
    /// Rows that were removed.
    pub departed: Vec<Tombstone>,
    /// Rows that were hidden and no longer are, as they were hidden.
    pub unhidden: Vec<Hidden>,
    /// Whether a hidden row changed in a way that only Kamailio can explain.
    pub doubtful: bool,
}

/// How long an account or username stays known after its last row went, in seconds.
pub const KNOWN_FOR: i64 = 3600;

/// How often to look for registrations that have expired without anybody asking, see [`Registry::expire`].
pub const EXPIRE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);

/// How many rows are changed at a time, at most: readers wait for no more.
const AT_ONCE: usize = 256;

/// Every registration, shared by those who change and those who read.
#[derive(Debug)]
pub struct Registry {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    source: Mutex<ReportedSource>,
    /// The file of Kamailio's tables, once it is known.
    source_file: Mutex<Option<PathBuf>>,
    /// Why the tables cannot be read now.
    trouble: Mutex<Option<Arc<str>>>,
    startup: Startup,
    heartbeat: Arc<Heartbeat>,
    /// What is known before an earlier run's rows have been taken over; `None` after that.
    early: Mutex<Option<Preload>>,
    /// Touched when more has become known early, and when all has.
    progress: watch::Sender<()>,
    /// Told when an account is asked for early.
    wanted: Notify,
    /// Told when there are rows that only Kamailio can tell apart.
    ambiguous: Notify,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let now = clock.unix_seconds();
        Self {
            clock,
            state: Mutex::new(State::new(now)),
            source: Mutex::default(),
            source_file: Mutex::default(),
            trouble: Mutex::default(),
            startup: Startup::default(),
            heartbeat: Arc::default(),
            early: Mutex::new(Some(Preload::new(now))),
            progress: watch::Sender::new(()),
            wanted: Notify::new(),
            ambiguous: Notify::new(),
        }
    }

    /// Applies changes in their order; readers see all of them or none.
    pub fn apply(&self, changes: impl IntoIterator<Item = Change>) -> Effects {
        let mut effects = Effects::default();
        self.change(|state| {
            for change in changes {
                match change {
                    Change::Upsert(registration) => state.upsert(&registration, &mut effects),
                    Change::Remove(key) => state.remove(&key, &mut effects),
                }
            }
        });
        effects
    }

    /// Takes over what an earlier run kept, in place of whatever the registry has; from then on `source` tells how well
    /// that is known to equal the tables. Readers are not held up, however much it is.
    pub fn restore(&self, kept: Snapshot, source: Source) {
        let state = State::restored(self.clock.unix_seconds(), kept);
        let former = std::mem::replace(&mut *self.now(), state);
        drop(former);
        self.ambiguous.notify_one();
        self.set_source(source);
        let early = self.early().take();
        self.progress.send_replace(());
        drop(early);
    }

    /// Puts `changed` in the place of what is known of these rows, and does `publish` in the same moment. Readers are
    /// not held up, however many they are. To be called by whoever [applies](Self::apply) changes, and not meanwhile.
    pub fn replace(&self, changed: &[Arc<Registration>], publish: impl FnOnce()) -> Effects {
        let mut effects = Effects::default();
        if changed.len() <= AT_ONCE {
            self.change(|state| {
                for registration in changed {
                    state.upsert(registration, &mut effects);
                }
                state.arrange();
                publish();
            });
            return effects;
        }
        let (now, former) = {
            let state = self.now();
            (state.now, state.rows())
        };
        effects.departed = moved(&former, changed, now);
        // They are known still: their rows are there until the moment when others are.
        for portion in effects.departed.chunks(AT_ONCE) {
            let mut state = self.now();
            for departed in portion {
                state.tombstones.remember(departed.clone());
            }
        }
        let rows = former.into_iter().chain(changed.iter().cloned()).collect();
        let kept = Snapshot {
            rows,
            ..Snapshot::default()
        };
        let mut next = State::restored(now, kept);
        let mut state = self.now();
        next.succeed(&mut state);
        let former = std::mem::replace(&mut *state, next);
        publish();
        drop(state);
        drop(former);
        effects
    }

    /// Waits until what `scope` has can be told: until the registry has been [restored](Self::restore) or, for an
    /// account, until that has been [brought early](Self::preload). Before that the registry may say nothing.
    pub async fn wait_for(&self, scope: Scope<'_>) {
        // Before the first look: what comes after that look must not be missed.
        let mut progress = self.progress.subscribe();
        while !self.can_tell(scope) {
            // The sender lives as long as the registry.
            let _ = progress.changed().await;
        }
    }

    fn can_tell(&self, scope: Scope<'_>) -> bool {
        match (&mut *self.early(), scope) {
            (None, _) => true,
            (Some(_), Scope::System) => false,
            (Some(early), Scope::Account(id)) => {
                let can_tell = early.has(id);
                self.wanted.notify_one();
                can_tell
            }
        }
    }

    /// Says what holds for all accounts that are brought before the registry has been restored, and how well that is
    /// known to equal the tables.
    pub fn begin_preload(&self, departed: Vec<Tombstone>, hidden: Vec<Hidden>, source: Source) {
        let (unix, monotonic) = (self.clock.unix(), self.clock.monotonic());
        let mut said = ReportedSource::default();
        said.replace(source, unix, monotonic);
        if let Some(early) = &mut *self.early() {
            early.begin(departed, hidden, said);
        }
    }

    /// An account that somebody waits for, while the registry has not been restored; to be
    /// [brought](Self::preload).
    pub async fn wanted(&self) -> Arc<str> {
        loop {
            if let Some(account) = self.early().as_mut().and_then(Preload::next) {
                return account;
            }
            self.wanted.notified().await;
        }
    }

    /// Shows an account before the registry has been restored: `rows` are all it has, none where it is not known. `None`
    /// has those who wait for it wait for the rest.
    pub fn preload(&self, account: &Arc<str>, rows: Option<&[Arc<Registration>]>) {
        if let Some(early) = &mut *self.early() {
            early.bring(account, rows);
        }
        self.progress.send_replace(());
    }

    /// Takes expired registrations out of the lists. Reading does it as well; called now and then, it keeps the
    /// work of one reading small.
    pub fn expire(&self) {
        drop(self.now());
    }

    /// Hides rows; each until it goes, or comes from a later REGISTER, or is [unhidden](Self::unhide).
    pub fn hide(&self, rows: impl IntoIterator<Item = Hidden>) {
        self.change(|state| rows.into_iter().for_each(|row| state.hide(row)));
    }

    /// Shows rows again.
    pub fn unhide<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) {
        self.change(|state| keys.into_iter().for_each(|key| state.unhide(key)));
    }

    /// Forgets hidden rows that the tables do not have; to be called once all rows are known. Returns them.
    pub fn forget_absent(&self) -> Vec<Hidden> {
        self.now().forget_absent(i64::MAX)
    }

    /// Forgets hidden rows that the tables do not have, of flushes before the Unix second `at`. Returns them.
    pub fn forget_absent_before(&self, at: i64) -> Vec<Hidden> {
        self.now().forget_absent(at)
    }

    /// Whether a flush hides the row with this key.
    #[must_use]
    pub fn is_hidden(&self, key: &Key) -> bool {
        self.now().is_hidden(key)
    }

    /// The rows that are hidden now.
    #[must_use]
    pub fn hidden(&self) -> Vec<(Hidden, Arc<Registration>)> {
        self.now().hidden()
    }

    /// The registrations of `scope`, in order. Takes a moment's copy of references: what is read from it later
    /// is of that moment.
    #[must_use]
    pub fn list(&self, scope: Scope<'_>) -> Listing {
        self.read(scope, |state| state.list(scope, None))
    }

    /// At most `limit` of them, after `position`.
    #[must_use]
    pub fn page(&self, scope: Scope<'_>, after: Option<&Position>, limit: usize) -> Page {
        self.read(scope, |state| state.page(scope, after, limit))
    }

    /// The registrations of the SIP users whom a name means: in any case of letters, unless one is spelled exactly so;
    /// with U+FFFD in it all that are shown so.
    #[must_use]
    pub fn list_user(&self, scope: Scope<'_>, username: &[u8]) -> Listing {
        self.read(scope, |state| state.list(scope, Some(username)))
    }

    /// How many registrations `scope` has, and their revision.
    #[must_use]
    pub fn count(&self, scope: Scope<'_>) -> (usize, u64) {
        self.read(scope, |state| state.count(scope))
    }

    /// Every row of the address of record `username@domain` that is valid now and not hidden, listed or not.
    #[must_use]
    pub fn rows_of(&self, username: &Text, domain: Option<&Text>) -> Vec<Arc<Registration>> {
        self.now().rows_of(username, domain)
    }

    /// Those of them that a list shows.
    #[must_use]
    pub fn listed_of(&self, username: &Text, domain: Option<&Text>) -> Vec<Arc<Registration>> {
        self.now().listed_of(username, domain)
    }

    /// Whether the address of record `username@domain` in `table` is not the account's alone: it has a row of somebody
    /// else, listed or not, or has none and the last one, within the last hour, was somebody else's.
    #[must_use]
    pub fn is_anothers(
        &self,
        account: &str,
        table: &str,
        username: &Text,
        domain: Option<&Text>,
    ) -> bool {
        self.now().is_anothers(account, table, username, domain)
    }

    /// Whether a row belongs to the account, or one did within the last hour.
    #[must_use]
    pub fn knows_account(&self, id: &str) -> bool {
        self.read(Scope::Account(id), |state| state.knows_account(id))
    }

    /// The addresses of record (`username`, `domain`) of the users whom a name means, as in [`Registry::list_user`], that
    /// have a row, or had one within the last hour.
    #[must_use]
    pub fn known_aors(&self, scope: Scope<'_>, username: &[u8]) -> Vec<(Text, Option<Text>)> {
        self.read(scope, |state| state.known_aors(scope, username))
    }

    /// The registration made of the row with this key, listed or not.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<Registration>> {
        self.now().get(key)
    }

    /// Every row there is, listed or not.
    #[must_use]
    pub fn rows(&self) -> Vec<Arc<Registration>> {
        self.now().rows()
    }

    /// How many rows there are, by what becomes of them; kept as rows change, so that asking costs nothing.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.now().counts()
    }

    /// The ids of the accounts that have rows, with the number of their listed registrations.
    #[must_use]
    pub fn accounts(&self) -> Vec<(Arc<str>, usize)> {
        self.now().accounts()
    }

    /// How well the registry is known to equal Kamailio's tables.
    #[must_use]
    pub fn source(&self) -> Freshness {
        let monotonic = self.clock.monotonic();
        self.said().at(monotonic, self.heartbeat.is_hung(monotonic))
    }

    /// The same of what can be [told](Self::wait_for) now, be it a part.
    #[must_use]
    pub fn source_of_answers(&self) -> Freshness {
        let early = self.early().as_ref().and_then(|early| early.source);
        early.map_or_else(
            || self.source(),
            |said| said.at(self.clock.monotonic(), false),
        )
    }

    /// Says how well the registry is known to equal Kamailio's tables; to be called after the rows are applied.
    pub fn set_source(&self, source: Source) {
        let (unix, monotonic) = (self.clock.unix(), self.clock.monotonic());
        self.said().replace(source, unix, monotonic);
        if source.state == SourceState::Live {
            self.startup.over.store(true, Ordering::Release);
        }
    }

    /// The file of Kamailio's tables, once it is known.
    #[must_use]
    pub fn source_file(&self) -> Option<PathBuf> {
        let file = self.source_file.lock();
        file.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says which file Kamailio's tables are read from.
    pub fn set_source_file(&self, file: PathBuf) {
        let known = self.source_file.lock();
        *known.unwrap_or_else(PoisonError::into_inner) = Some(file);
    }

    /// What was [said](Self::set_source) last; whether the mirror hangs since does not matter.
    #[must_use]
    pub fn said_source(&self) -> Source {
        self.said().source()
    }

    /// Tells whether the mirror is at work: once it has begun to beat and does not go on, the registry is stale.
    #[must_use]
    pub fn heartbeat(&self) -> &Arc<Heartbeat> {
        &self.heartbeat
    }

    fn said(&self) -> MutexGuard<'_, ReportedSource> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble_now(&self) -> MutexGuard<'_, Option<Arc<str>>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn early(&self) -> MutexGuard<'_, Option<Preload>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what `scope` has: what is known early, where all is not known yet.
    fn read<T>(&self, scope: Scope<'_>, read: impl FnOnce(&State) -> T) -> T {
        if let (Some(early), Scope::Account(_)) = (&mut *self.early(), scope)
            && early.source.is_some()
        {
            early.state.advance(self.clock.unix_seconds());
            return read(&early.state);
        }
        read(&self.now())
    }

    /// Changes the state, and then decides what is listed of the contacts that have several rows.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.now();
        let result = change(&mut state);
        state.arrange();
        self.announce(&state);
        result
    }

    /// Wakes whoever waits for rows that only Kamailio can tell apart.
    fn announce(&self, state: &State) {
        if !state.ambiguities.is_empty() {
            self.ambiguous.notify_one();
        }
    }

    /// The state as of this second.
    fn now(&self) -> MutexGuard<'_, State> {
        // A panic while the state was held leaves it complete enough to go on: each row stands for itself.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.advance(self.clock.unix_seconds());
        self.announce(&state);
        state
    }
}

/// Who of the `former` rows' users has another account in `changed`.
fn moved(former: &[Arc<Registration>], changed: &[Arc<Registration>], now: i64) -> Vec<Tombstone> {
    let former: HashMap<&Key, &Arc<Registration>> =
        former.iter().map(|one| (&one.binding.key, one)).collect();
    let moved = changed.iter().filter_map(|one| {
        let former = former.get(&one.binding.key)?;
        state::has_moved(former, one).then(|| state::departed(former, now))
    });
    moved.collect()
}

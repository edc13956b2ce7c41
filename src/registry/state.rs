//! The rows, and the sorted lists that are kept of them.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::mem;
use std::sync::Arc;

use super::ambiguous::Ambiguities;
use super::index::ScopeIndex;
use super::listing::{Listing, Page};
use super::named::Asked;
use super::order::{Contact, Position, Row};
use super::tombstones::{Aor, Tombstones, name_of};
use super::{Counts, Effects, KNOWN_FOR, Scope};
use crate::registration::{Hidden, Key, Registration, Text, Tombstone};

#[derive(Debug)]
pub(super) struct State {
    /// The second up to which expiry has been worked off.
    pub(super) now: i64,
    /// Every row of the tables.
    pub(super) rows: HashSet<Keyed>,
    /// When valid rows end.
    pub(super) ends: BTreeSet<End>,
    pub(super) hidden: HashMap<Key, Hidden>,
    pub(super) system: ScopeIndex,
    /// Of each account that has rows.
    pub(super) accounts: HashMap<Arc<str>, ScopeIndex>,
    pub(super) tombstones: Tombstones,
    pub(super) ambiguities: Ambiguities,
    /// Contacts of which it is not decided yet what is listed: see [`State::arrange`].
    pub(super) unsettled: BTreeSet<Contact>,
}

/// A registration, to be found by its key.
#[derive(Debug)]
pub(super) struct Keyed(pub(super) Arc<Registration>);

/// When a registration ends.
#[derive(Debug)]
pub(super) struct End {
    at: i64,
    registration: Arc<Registration>,
}

impl State {
    pub(super) fn new(now: i64) -> Self {
        Self {
            now,
            rows: HashSet::new(),
            ends: BTreeSet::new(),
            hidden: HashMap::new(),
            system: ScopeIndex::default(),
            accounts: HashMap::new(),
            tombstones: Tombstones::default(),
            ambiguities: Ambiguities::default(),
            unsettled: BTreeSet::new(),
        }
    }

    /// Works off expiry up to `now`. After a step back of the clock, rows that are valid again come back.
    pub(super) fn advance(&mut self, now: i64) {
        if now < self.now {
            self.now = now;
            let all: Vec<_> = self.system.rows().cloned().collect();
            let ends = all
                .iter()
                .filter_map(|row| End::after(now, row.registration()));
            self.ends = ends.collect();
            for row in all {
                self.settle(&row);
            }
            self.arrange();
            return;
        }
        if now == self.now {
            return;
        }
        self.now = now;
        while let Some(end) = self.ends.first().filter(|end| end.at <= now) {
            let row = Row::new(Arc::clone(&end.registration));
            self.ends.pop_first();
            self.settle(&row);
        }
        self.arrange();
        self.tombstones.forget_before(now - KNOWN_FOR);
    }

    /// Takes over from `former`, which has the same rows with another content, what is not in them.
    pub(super) fn succeed(&mut self, former: &mut Self) {
        for hidden in former.hidden.values() {
            self.hide(hidden.clone());
        }
        // Kamailio is not asked again because a row has another owner.
        self.ambiguities = mem::take(&mut former.ambiguities);
        let superseded = self.ambiguities.contacts_of_superseded();
        self.unsettled.extend(superseded.cloned());
        self.tombstones = mem::take(&mut former.tombstones);
        self.advance(former.now);
        self.arrange();
    }

    pub(super) fn upsert(&mut self, registration: &Arc<Registration>, effects: &mut Effects) {
        let former = self.rows.take(&registration.binding.key);
        let former = former.map(|Keyed(former)| Row::new(former));
        if let Some(former) = &former {
            self.take_out(former);
        }
        self.look_through(registration, effects);
        let key = &registration.binding.key;
        self.ambiguities.release_changed(key, Some(registration));
        let row = Row::new(Arc::clone(registration));
        self.put_in(&row);
        if let Some(former) = former {
            if has_moved(former.registration(), registration) {
                self.bury(former.registration(), effects);
            }
            self.settle(&former);
        }
        self.settle(&row);
    }

    pub(super) fn remove(&mut self, key: &Key, effects: &mut Effects) {
        effects.unhidden.extend(self.hidden.remove(key));
        self.ambiguities.release_changed(key, None);
        if let Some(Keyed(registration)) = self.rows.take(key) {
            let row = Row::new(registration);
            self.take_out(&row);
            self.bury(row.registration(), effects);
            self.settle(&row);
        }
    }

    /// Hides a row, or remembers to hide it should it come.
    pub(super) fn hide(&mut self, hidden: Hidden) {
        let key = hidden.key.clone();
        if self.note_hidden(hidden) {
            self.settle_key(&key);
        }
    }

    /// Notes that a row is hidden, without a look at the lists; not if the phone has registered again since.
    pub(super) fn note_hidden(&mut self, hidden: Hidden) -> bool {
        let row = self.rows.get(&hidden.key);
        let is_later = row.is_some_and(|Keyed(row)| row.binding.last_modified > hidden.at);
        if !is_later {
            self.hidden.insert(hidden.key.clone(), hidden);
        }
        !is_later
    }

    /// Forgets what was hidden before `at` without having a row.
    pub(super) fn forget_absent(&mut self, at: i64) -> Vec<Hidden> {
        let absent: Vec<Hidden> = self
            .hidden
            .values()
            .filter(|hidden| hidden.at < at && !self.rows.contains(&hidden.key))
            .cloned()
            .collect();
        for hidden in &absent {
            self.hidden.remove(&hidden.key);
        }
        absent
    }

    pub(super) fn is_hidden(&self, key: &Key) -> bool {
        self.hidden.contains_key(key)
    }

    pub(super) fn unhide(&mut self, key: &Key) {
        if self.hidden.remove(key).is_some() {
            self.settle_key(key);
        }
    }

    pub(super) fn hidden(&self) -> Vec<(Hidden, Arc<Registration>)> {
        let row = |hidden: &Hidden| Some((hidden.clone(), self.get(&hidden.key)?));
        self.hidden.values().filter_map(row).collect()
    }

    pub(super) fn list(&self, scope: Scope<'_>, user: Option<&[u8]>) -> Listing {
        match (self.index(scope), user) {
            (None, _) => Listing::default(),
            (Some(index), None) => index.list(),
            (Some(index), Some(user)) => self.list_user(scope, index, user),
        }
    }

    /// The listed registrations of the users whom a name means. One of the last hour counts where it is spelled so.
    fn list_user(&self, scope: Scope<'_>, index: &ScopeIndex, username: &[u8]) -> Listing {
        let known = self.known_aors(scope, username);
        let mut registrations = index.list_user(Asked::new(username));
        registrations.retain(|one| {
            let mut known = known.iter();
            let (username, domain) = (&one.binding.username, &one.binding.domain);
            known.any(|(name, its)| name == username && its == domain)
        });
        let sum = |sum: u64, one: &Arc<Registration>| sum.wrapping_add(one.digest());
        Listing {
            revision: registrations.iter().fold(0, sum),
            registrations,
        }
    }

    pub(super) fn page(&self, scope: Scope<'_>, after: Option<&Position>, limit: usize) -> Page {
        let page = |index: &ScopeIndex| index.page(after, limit);
        self.index(scope).map(page).unwrap_or_default()
    }

    pub(super) fn count(&self, scope: Scope<'_>) -> (usize, u64) {
        self.index(scope).map(ScopeIndex::count).unwrap_or_default()
    }

    pub(super) fn rows_of(&self, username: &Text, domain: Option<&Text>) -> Vec<Arc<Registration>> {
        self.system
            .rows_of_user(Asked::new(&name_of(username, domain)))
            .filter(|one| {
                one.binding.username == *username && one.binding.domain.as_ref() == domain
            })
            .filter(|one| is_current(&self.hidden, self.now, one))
            .cloned()
            .collect()
    }

    pub(super) fn listed_of(
        &self,
        username: &Text,
        domain: Option<&Text>,
    ) -> Vec<Arc<Registration>> {
        let is_of = |one: &Arc<Registration>| {
            one.binding.username == *username && one.binding.domain.as_ref() == domain
        };
        let user = name_of(username, domain);
        let mut rows = self.system.list_user(Asked::new(&user));
        rows.retain(is_of);
        rows
    }

    pub(super) fn is_anothers(
        &self,
        account: &str,
        table: &str,
        username: &Text,
        domain: Option<&Text>,
    ) -> bool {
        let user = name_of(username, domain);
        let mut rows = self
            .system
            .rows_of_user(Asked::new(&user))
            .filter(|one| &*one.binding.key.table == table)
            .filter(|one| {
                one.binding.username == *username && one.binding.domain.as_ref() == domain
            })
            .peekable();
        if rows.peek().is_some() {
            return rows.any(|one| one.account_id.as_deref() != Some(account));
        }
        let gone: Vec<_> = self.tombstones.of_aor(username, domain).collect();
        // Of the same second either may be the last.
        let last = gone.iter().map(|(_, at)| *at).max();
        gone.iter()
            .any(|(id, at)| Some(*at) == last && *id != account)
    }

    pub(super) fn knows_account(&self, id: &str) -> bool {
        self.accounts.contains_key(id) || self.tombstones.has_account(id)
    }

    /// Looks at rows and tombstones of `scope` alone: how long it takes tells nothing about other accounts.
    pub(super) fn known_aors(&self, scope: Scope<'_>, username: &[u8]) -> Vec<Aor> {
        let asked = Asked::new(username);
        let there = self.index(scope).into_iter();
        let there = there
            .flat_map(|index| index.rows_of_user(asked))
            .map(|one| (one.binding.username.clone(), one.binding.domain.clone()));
        let gone = match scope {
            Scope::System => self.tombstones.of_user_anywhere(asked),
            Scope::Account(id) => self.tombstones.of_user(id, asked),
        };
        let aors: BTreeSet<_> = there.chain(gone).collect();
        asked.exact_first(aors.into_iter().collect(), |(username, domain)| {
            name_of(username, domain.as_ref())
        })
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Registration>> {
        self.rows
            .get(key)
            .map(|Keyed(registration)| Arc::clone(registration))
    }

    pub(super) fn rows(&self) -> Vec<Arc<Registration>> {
        let rows = self.system.rows();
        rows.map(|row| Arc::clone(row.registration())).collect()
    }

    pub(super) fn counts(&self) -> Counts {
        let is_there = |key: &&Key| self.rows.contains(*key);
        Counts {
            listed: self.system.by_transport(),
            hidden: self.hidden.keys().filter(is_there).count(),
            superseded: self.ambiguities.superseded(),
            rows: self.rows.len(),
        }
    }

    pub(super) fn accounts(&self) -> Vec<(Arc<str>, usize)> {
        let count = |(id, index): (&Arc<str>, &ScopeIndex)| (Arc::clone(id), index.listed());
        let mut accounts: Vec<_> = self.accounts.iter().map(count).collect();
        accounts.sort();
        accounts
    }

    fn index(&self, scope: Scope<'_>) -> Option<&ScopeIndex> {
        match scope {
            Scope::System => Some(&self.system),
            Scope::Account(id) => self.accounts.get(id),
        }
    }

    fn put_in(&mut self, row: &Row) {
        let registration = row.registration();
        self.ends.extend(End::after(self.now, registration));
        self.system.put_in(row.clone());
        if let Some(id) = &registration.account_id {
            let account = self.accounts.entry(Arc::clone(id)).or_default();
            account.put_in(row.clone());
        }
        self.rows.insert(Keyed(Arc::clone(registration)));
    }

    /// Takes a row out of everything but `rows`.
    fn take_out(&mut self, row: &Row) {
        let registration = row.registration();
        if let Some(end) = End::of(registration) {
            self.ends.remove(&end);
        }
        self.system.take_out(row);
        if let Some(id) = &registration.account_id
            && let Some(account) = self.accounts.get_mut(id)
        {
            account.take_out(row);
            if account.is_empty() {
                self.accounts.remove(id);
            }
        }
    }

    /// Decides whether a row that is hidden stays so with its new content: it does not if it comes from a REGISTER
    /// after the flush. One of the same second may be either; Kamailio is to be asked.
    fn look_through(&mut self, registration: &Registration, effects: &mut Effects) {
        let key = &registration.binding.key;
        let Some(hidden) = self.hidden.get_mut(key) else {
            return;
        };
        if registration.binding.last_modified > hidden.at {
            effects.unhidden.extend(self.hidden.remove(key));
        } else if hidden.fingerprint != registration.binding.row_fingerprint() {
            hidden.fingerprint = registration.binding.row_fingerprint();
            effects.doubtful = true;
        }
    }

    fn settle_key(&mut self, key: &Key) {
        if let Some(registration) = self.get(key) {
            self.settle(&Row::new(registration));
        }
    }

    fn bury(&mut self, registration: &Registration, effects: &mut Effects) {
        let departed = departed(registration, self.now);
        effects.departed.push(departed.clone());
        self.tombstones.remember(departed);
    }
}

/// Whether the row is valid now and not hidden.
pub(super) fn is_current(hidden: &HashMap<Key, Hidden>, now: i64, row: &Registration) -> bool {
    row.binding.expiry.is_valid_at(now) && !hidden.contains_key(&row.binding.key)
}

/// Whether the former user of a row, or its account, may have no row any more.
pub(super) fn has_moved(former: &Registration, registration: &Registration) -> bool {
    former.account_id != registration.account_id
        || former.binding.username != registration.binding.username
        || former.binding.domain != registration.binding.domain
}

/// What is remembered of a row that went: a copy, because one text would keep all of the row's in memory.
pub(super) fn departed(registration: &Registration, at: i64) -> Tombstone {
    Tombstone {
        account: registration.account_id.clone(),
        username: registration.binding.username.as_bytes().into(),
        domain: registration.binding.domain.clone(),
        at,
    }
}

impl Borrow<Key> for Keyed {
    fn borrow(&self) -> &Key {
        &self.0.binding.key
    }
}

impl Hash for Keyed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.binding.key.hash(state);
    }
}

impl PartialEq for Keyed {
    fn eq(&self, other: &Self) -> bool {
        self.0.binding.key == other.0.binding.key
    }
}

impl Eq for Keyed {}

impl End {
    /// The end of the registration, unless it is permanent.
    fn of(registration: &Arc<Registration>) -> Option<Self> {
        Some(Self {
            at: registration.binding.expiry.end()?,
            registration: Arc::clone(registration),
        })
    }

    /// The same, where it comes after `now`.
    pub(super) fn after(now: i64, registration: &Arc<Registration>) -> Option<Self> {
        Self::of(registration).filter(|end| end.at > now)
    }

    /// In order of time; those of one second by where they are in memory.
    fn order(&self) -> (i64, *const Registration) {
        (self.at, Arc::as_ptr(&self.registration))
    }
}

impl Ord for End {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for End {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for End {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for End {}

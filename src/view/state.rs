//! The rows and the sorted lists that are kept of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::listing::{Listing, Page};
use super::order::{Position, group, user_prefix};
use super::{Consequences, KNOWN_FOR, Scope, Tally};
use crate::registration::{Departed, Hidden, Key, Registration, Text};
use crate::sip::Transport;

pub(super) type Sorted = BTreeMap<Position, Arc<Registration>>;

#[derive(Debug)]
pub(super) struct State {
    /// The second up to which expiry has been worked off.
    pub(super) now: i64,
    /// Every row of the tables.
    pub(super) rows: HashMap<Key, (Position, Arc<Registration>)>,
    /// The same, in the order of lists.
    pub(super) ordered: Sorted,
    /// When valid rows end.
    pub(super) ends: BTreeSet<(i64, Position)>,
    hidden: HashMap<Key, Hidden>,
    pub(super) system: Listed,
    /// See [`Tally::listed`].
    pub(super) by_transport: [usize; Transport::ALL.len() + 1],
    pub(super) accounts: HashMap<Arc<str>, Account>,
    /// Whose rows went, and when the last one did.
    departed: BTreeMap<Who, i64>,
    departures: BTreeMap<i64, Vec<Who>>,
}

/// Who had a row: the username in lower case, then exactly; the domain; the account.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Who {
    any_case: Vec<u8>,
    username: Text,
    domain: Option<Text>,
    account_id: Option<Arc<str>>,
}

/// The listed registrations of one scope, with the sum of their digests.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) registrations: Sorted,
    pub(super) revision: u128,
}

#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) listed: Listed,
    /// Rows, listed or not.
    pub(super) rows: usize,
    /// When the last of its rows that went did so.
    departed: Option<i64>,
}

impl State {
    pub(super) fn new(now: i64) -> Self {
        Self {
            now,
            rows: HashMap::new(),
            ordered: Sorted::new(),
            ends: BTreeSet::new(),
            hidden: HashMap::new(),
            system: Listed::default(),
            by_transport: Default::default(),
            accounts: HashMap::new(),
            departed: BTreeMap::new(),
            departures: BTreeMap::new(),
        }
    }

    /// Works off expiry up to `now`. After a step back of the clock, rows that are valid again come back.
    pub(super) fn advance(&mut self, now: i64) {
        if now < self.now {
            self.now = now;
            let all: Vec<_> = self.ordered.values().cloned().collect();
            self.ends = all
                .iter()
                .filter_map(|registration| {
                    let end = registration.binding.expiry.end().filter(|end| *end > now)?;
                    Some((end, Position::of(&registration.binding)))
                })
                .collect();
            for registration in all {
                self.settle(&registration);
            }
            return;
        }
        if now == self.now {
            return;
        }
        self.now = now;
        while let Some((_, position)) = self.ends.first().filter(|(end, _)| *end <= now).cloned() {
            self.ends.pop_first();
            if let Some(registration) = self.ordered.get(&position).cloned() {
                self.settle(&registration);
            }
        }
        self.forget();
    }

    pub(super) fn upsert(
        &mut self,
        registration: &Arc<Registration>,
        consequences: &mut Consequences,
    ) {
        let key = registration.binding.key.clone();
        let former = self.rows.get(&key).cloned();
        if let Some((position, former)) = &former {
            self.take_out(position, former);
        }
        self.look_through(registration, consequences);
        self.put_in(key, registration);
        if let Some((_, former)) = former {
            let moved = former.account_id != registration.account_id
                || former.binding.username != registration.binding.username
                || former.binding.domain != registration.binding.domain;
            if moved {
                self.depart(&former, consequences);
            }
            self.settle(&former);
        }
        self.settle(registration);
    }

    pub(super) fn remove(&mut self, key: &Key, consequences: &mut Consequences) {
        consequences.unhidden.extend(self.hidden.remove(key));
        if let Some((position, registration)) = self.rows.remove(key) {
            self.take_out(&position, &registration);
            self.depart(&registration, consequences);
            self.settle(&registration);
        }
    }

    /// Hides a row, or remembers to hide it should it come.
    pub(super) fn hide(&mut self, hidden: Hidden) {
        let key = hidden.key.clone();
        if self.note_hidden(hidden)
            && let Some((_, registration)) = self.rows.get(&key).cloned()
        {
            self.settle(&registration);
        }
    }

    /// Notes that a row is hidden, without a look at the lists; not if the phone has registered again since.
    pub(super) fn note_hidden(&mut self, hidden: Hidden) -> bool {
        let row = self.rows.get(&hidden.key);
        let is_later = row.is_some_and(|(_, row)| row.binding.last_modified > hidden.at);
        if !is_later {
            self.hidden.insert(hidden.key.clone(), hidden);
        }
        !is_later
    }

    /// Whether the row is valid now and not hidden.
    pub(super) fn may_show(&self, row: &Registration) -> bool {
        row.binding.expiry.is_valid_at(self.now) && !self.hidden.contains_key(&row.binding.key)
    }

    /// Forgets what was hidden before `at` without having a row.
    pub(super) fn forget_absent(&mut self, at: i64) -> Vec<Hidden> {
        let absent: Vec<Hidden> = self
            .hidden
            .values()
            .filter(|hidden| hidden.at < at && !self.rows.contains_key(&hidden.key))
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
        if self.hidden.remove(key).is_some()
            && let Some((_, registration)) = self.rows.get(key).cloned()
        {
            self.settle(&registration);
        }
    }

    pub(super) fn remember(&mut self, departed: Departed) {
        let Departed {
            account: account_id,
            username,
            domain,
            at,
        } = departed;
        if let Some(id) = &account_id {
            let account = self.accounts.entry(Arc::clone(id)).or_default();
            account.departed = account.departed.max(Some(at));
        }
        let any_case = username.as_bytes().to_ascii_lowercase();
        let who = Who {
            any_case,
            username,
            domain,
            account_id,
        };
        self.departed.insert(who.clone(), at);
        self.departures.entry(at).or_default().push(who);
    }

    pub(super) fn hidden(&self) -> Vec<(Hidden, Arc<Registration>)> {
        let row =
            |hidden: &Hidden| Some((hidden.clone(), Arc::clone(&self.rows.get(&hidden.key)?.1)));
        self.hidden.values().filter_map(row).collect()
    }

    pub(super) fn list(
        &self,
        scope: Scope<'_>,
        user: Option<&[u8]>,
        limit: Option<usize>,
    ) -> Listing {
        let Some(listed) = self.listed(scope) else {
            return Listing::default();
        };
        let limit = limit.unwrap_or(usize::MAX);
        match user {
            None => Listing {
                registrations: listed.registrations.values().take(limit).cloned().collect(),
                revision: listed.revision,
            },
            Some(user) => {
                let registrations: Vec<_> = starting_with(&listed.registrations, user_prefix(user))
                    .take(limit)
                    .cloned()
                    .collect();
                let sum = |sum: u128, one: &Arc<Registration>| sum.wrapping_add(one.digest());
                Listing {
                    revision: registrations.iter().fold(0, sum),
                    registrations,
                }
            }
        }
    }

    pub(super) fn page(&self, scope: Scope<'_>, after: Option<&Position>, limit: usize) -> Page {
        let Some(listed) = self.listed(scope) else {
            return Page {
                registrations: Vec::new(),
                more: false,
                revision: 0,
            };
        };
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rows = listed.registrations.range((start, Bound::Unbounded));
        let registrations = rows
            .by_ref()
            .take(limit)
            .map(|(position, one)| (position.clone(), Arc::clone(one)))
            .collect();
        Page {
            registrations,
            more: rows.next().is_some(),
            revision: listed.revision,
        }
    }

    pub(super) fn count(&self, scope: Scope<'_>) -> (usize, u128) {
        self.listed(scope).map_or((0, 0), |listed| {
            (listed.registrations.len(), listed.revision)
        })
    }

    pub(super) fn rows_of(&self, username: &Text, domain: Option<&Text>) -> Vec<Arc<Registration>> {
        starting_with(&self.ordered, user_prefix(username.as_bytes()))
            .filter(|one| {
                one.binding.username == *username && one.binding.domain.as_ref() == domain
            })
            .filter(|one| self.may_show(one))
            .cloned()
            .collect()
    }

    pub(super) fn is_anothers(
        &self,
        account: &str,
        table: &str,
        username: &Text,
        domain: Option<&Text>,
    ) -> bool {
        let is_own = |id: Option<&Arc<str>>| id.is_some_and(|id| &**id == account);
        let mut rows = starting_with(&self.ordered, user_prefix(username.as_bytes()))
            .map(|one| (&one.binding, one.account_id.as_ref()))
            .filter(|(row, _)| &*row.key.table == table)
            .filter(|(row, _)| row.username == *username && row.domain.as_ref() == domain)
            .map(|(_, id)| is_own(id))
            .peekable();
        if rows.peek().is_some() {
            return rows.any(|own| !own);
        }
        let gone: Vec<_> = self
            .departed(username.as_bytes())
            .filter(|(who, _)| who.username == *username && who.domain.as_ref() == domain)
            .map(|(who, at)| (*at, is_own(who.account_id.as_ref())))
            .collect();
        // Of the same second either may be the last.
        let last = gone.iter().map(|(at, _)| *at).max();
        gone.iter().any(|(at, own)| Some(*at) == last && !own)
    }

    pub(super) fn knows_account(&self, id: &str) -> bool {
        self.accounts.contains_key(id)
    }

    pub(super) fn known_aors(
        &self,
        scope: Scope<'_>,
        username: &[u8],
    ) -> Vec<(Text, Option<Text>)> {
        let in_scope = |id: Option<&Arc<str>>| match scope {
            Scope::System => true,
            Scope::Account(account) => id.is_some_and(|id| &**id == account),
        };
        let there = starting_with(&self.ordered, user_prefix(username))
            .filter(|one| in_scope(one.account_id.as_ref()))
            .map(|one| (one.binding.username.clone(), one.binding.domain.clone()));
        let gone = self
            .departed(username)
            .filter(|(who, _)| in_scope(who.account_id.as_ref()))
            .map(|(who, _)| (who.username.clone(), who.domain.clone()));
        there
            .chain(gone)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    /// Whose rows of this username, in any case, went, and when the last one did.
    fn departed(&self, username: &[u8]) -> impl Iterator<Item = (&Who, &i64)> {
        let any_case = username.to_ascii_lowercase();
        let first = Who {
            any_case: any_case.clone(),
            username: Text::default(),
            domain: None,
            account_id: None,
        };
        self.departed
            .range(first..)
            .take_while(move |(who, _)| who.any_case == any_case)
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Registration>> {
        self.rows
            .get(key)
            .map(|(_, registration)| Arc::clone(registration))
    }

    pub(super) fn rows(&self) -> Vec<Arc<Registration>> {
        self.ordered.values().cloned().collect()
    }

    pub(super) fn tally(&self) -> Tally {
        let is_there = |key: &&Key| self.rows.contains_key(*key);
        Tally {
            listed: self.by_transport,
            hidden: self.hidden.keys().filter(is_there).count(),
            rows: self.rows.len(),
        }
    }

    pub(super) fn accounts(&self) -> Vec<(Arc<str>, usize)> {
        let mut accounts: Vec<_> = self
            .accounts
            .iter()
            .filter(|(_, account)| account.rows > 0)
            .map(|(id, account)| (Arc::clone(id), account.listed.registrations.len()))
            .collect();
        accounts.sort();
        accounts
    }

    fn listed(&self, scope: Scope<'_>) -> Option<&Listed> {
        match scope {
            Scope::System => Some(&self.system),
            Scope::Account(id) => self.accounts.get(id).map(|account| &account.listed),
        }
    }

    fn put_in(&mut self, key: Key, registration: &Arc<Registration>) {
        let position = Position::of(&registration.binding);
        self.ordered
            .insert(position.clone(), Arc::clone(registration));
        if let Some(end) = registration
            .binding
            .expiry
            .end()
            .filter(|end| *end > self.now)
        {
            self.ends.insert((end, position.clone()));
        }
        if let Some(id) = &registration.account_id {
            self.accounts.entry(Arc::clone(id)).or_default().rows += 1;
        }
        self.rows.insert(key, (position, Arc::clone(registration)));
    }

    /// Decides whether a row that is hidden stays so with its new content: it does not if it comes from a REGISTER
    /// after the flush. One of the same second may be either; Kamailio is to be asked.
    fn look_through(&mut self, registration: &Registration, consequences: &mut Consequences) {
        let key = &registration.binding.key;
        let Some(hidden) = self.hidden.get_mut(key) else {
            return;
        };
        if registration.binding.last_modified > hidden.at {
            consequences.unhidden.extend(self.hidden.remove(key));
        } else if hidden.fingerprint != registration.binding.row_fingerprint() {
            hidden.fingerprint = registration.binding.row_fingerprint();
            consequences.doubtful = true;
        }
    }

    /// Takes a row out of everything but `rows`.
    fn take_out(&mut self, position: &Position, registration: &Registration) {
        self.ordered.remove(position);
        if let Some(end) = registration.binding.expiry.end() {
            self.ends.remove(&(end, position.clone()));
        }
        self.unlist(position);
        if let Some(account) = registration
            .account_id
            .as_ref()
            .and_then(|id| self.accounts.get_mut(id))
        {
            account.rows -= 1;
        }
    }

    /// Lists the one of the rows alike `registration` that is to be listed, and none of the others.
    fn settle(&mut self, registration: &Registration) {
        let alike: Vec<_> = range_starting_with(&self.ordered, group(&registration.binding))
            .map(|(position, one)| (position.clone(), Arc::clone(one)))
            .collect();
        let winner = alike
            .iter()
            .filter(|(_, one)| self.may_show(one))
            .max_by_key(|(_, one)| one.binding.last_modified)
            .map(|(position, _)| position.clone());
        for (position, one) in alike {
            if Some(&position) == winner.as_ref() {
                self.list_one(position, one);
            } else {
                self.unlist(&position);
            }
        }
    }

    fn list_one(&mut self, position: Position, registration: Arc<Registration>) {
        if self
            .system
            .registrations
            .get(&position)
            .is_some_and(|listed| Arc::ptr_eq(listed, &registration))
        {
            return;
        }
        self.unlist(&position);
        self.by_transport[by_transport(&registration)] += 1;
        let digest = registration.digest();
        if let Some(id) = &registration.account_id {
            let account = self.accounts.entry(Arc::clone(id)).or_default();
            account
                .listed
                .insert(position.clone(), Arc::clone(&registration), digest);
        }
        self.system.insert(position, registration, digest);
    }

    fn unlist(&mut self, position: &Position) {
        let Some(registration) = self.system.registrations.remove(position) else {
            return;
        };
        self.by_transport[by_transport(&registration)] -= 1;
        let digest = registration.digest();
        self.system.revision = self.system.revision.wrapping_sub(digest);
        if let Some(account) = registration
            .account_id
            .as_ref()
            .and_then(|id| self.accounts.get_mut(id))
        {
            account.listed.registrations.remove(position);
            account.listed.revision = account.listed.revision.wrapping_sub(digest);
        }
    }

    fn depart(&mut self, registration: &Registration, consequences: &mut Consequences) {
        let departed = Departed {
            account: registration.account_id.clone(),
            username: registration.binding.username.clone(),
            domain: registration.binding.domain.clone(),
            at: self.now,
        };
        consequences.departed.push(departed.clone());
        self.remember(departed);
    }

    /// Forgets rows and accounts that went more than [`KNOWN_FOR`] ago.
    fn forget(&mut self) {
        let before = self.now - KNOWN_FOR;
        while let Some(entry) = self
            .departures
            .first_entry()
            .filter(|entry| *entry.key() < before)
        {
            for who in entry.remove() {
                if self.departed.get(&who).is_some_and(|at| *at < before) {
                    self.departed.remove(&who);
                }
                if let Some(id) = &who.account_id
                    && let Some(account) = self.accounts.get(id)
                    && account.rows == 0
                    && account.departed.is_none_or(|at| at < before)
                {
                    self.accounts.remove(id);
                }
            }
        }
    }
}

impl Listed {
    fn insert(&mut self, position: Position, registration: Arc<Registration>, digest: u128) {
        self.registrations.insert(position, registration);
        self.revision = self.revision.wrapping_add(digest);
    }
}

pub(super) fn by_transport(registration: &Registration) -> usize {
    let known = registration.proxy_protocol;
    known.map_or(Transport::ALL.len(), |transport| transport as usize)
}

fn starting_with(sorted: &Sorted, prefix: Vec<u8>) -> impl Iterator<Item = &Arc<Registration>> {
    range_starting_with(sorted, prefix).map(|(_, one)| one)
}

fn range_starting_with(
    sorted: &Sorted,
    prefix: Vec<u8>,
) -> impl Iterator<Item = (&Position, &Arc<Registration>)> {
    sorted
        .range(Position::from_bytes(&prefix)..)
        .take_while(move |(position, _)| position.as_bytes().starts_with(&prefix))
}

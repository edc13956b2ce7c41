//! What readers see: the lists as of this very second, however far the writer has come.
//!
//! The writer brings the lists to each second in which something ends. A reader that comes before it, or after a step of
//! the clock, works out for itself how those few contacts differ, and changes nothing.

use std::collections::{BTreeSet, HashMap};
use std::iter;
use std::sync::Arc;

use super::event::Listed;
use super::lists::index::{ByTransport, ScopeIndex, by_transport, following, of_user};
use super::lists::listing::{Listing, Page};
use super::lists::named::Asked;
use super::lists::order::{Contact, Placed, Position, Row};
use super::state::{State, is_current};
use super::tombstones::{Aor, name_of};
use super::{Counts, KNOWN_FOR, Scope};
use crate::registration::{Registration, Text};

/// A state, as of a second.
#[derive(Debug)]
pub(super) struct AsOf<'a> {
    state: &'a State,
    now: i64,
    system: Patch,
    accounts: HashMap<Arc<str>, Patch>,
    /// How many superseded rows are none in this second.
    released: usize,
}

/// How a list differs from the one that is kept.
#[derive(Debug, Default)]
struct Patch {
    gone: BTreeSet<Row>,
    come: BTreeSet<Row>,
}

/// A list that differs from the one that is kept.
#[derive(Clone, Copy)]
struct Patched<'a> {
    index: &'a ScopeIndex,
    patch: &'a Patch,
}

/// That of a list that does not differ.
static NONE: Patch = Patch {
    gone: BTreeSet::new(),
    come: BTreeSet::new(),
};

impl<'a> AsOf<'a> {
    pub(super) fn new(state: &'a State, now: i64) -> Self {
        let mut as_of = Self {
            state,
            now,
            system: Patch::default(),
            accounts: HashMap::new(),
            released: 0,
        };
        if now != state.now {
            as_of.look_ahead();
        }
        as_of
    }

    /// Whether the lists differ from those that are kept.
    pub(super) fn differs(&self) -> bool {
        !self.system.is_empty() || !self.accounts.is_empty()
    }

    fn look_ahead(&mut self) {
        let rows = self.state.ends.between(self.state.now, self.now);
        let contacts: BTreeSet<Contact> =
            rows.map(|row| Contact(Row::new(Arc::clone(row)))).collect();
        for contact in contacts {
            let arrangement = self.state.arrangement(&contact, self.now);
            for (row, is) in arrangement.rows {
                let key = &row.binding().key;
                let was_superseded = self.state.ambiguities.is_superseded(key);
                self.released +=
                    usize::from(was_superseded && !arrangement.superseded.contains(key));
                self.put(&row, self.state.listed_row(&row), is);
            }
        }
    }

    fn put(&mut self, row: &Row, was: Listed, is: Listed) {
        if was.system != is.system {
            self.system.put(row, is.system);
        }
        if was.account != is.account
            && let Some(id) = &row.registration().account_id
        {
            let account = self.accounts.entry(Arc::clone(id)).or_default();
            account.put(row, is.account);
        }
    }

    fn scope(&self, scope: Scope<'_>) -> Option<Patched<'_>> {
        let (index, patch) = match scope {
            Scope::System => (Some(&self.state.system), Some(&self.system)),
            Scope::Account(id) => (self.state.accounts.get(id), self.accounts.get(id)),
        };
        Some(Patched {
            index: index?,
            patch: patch.unwrap_or(&NONE),
        })
    }

    fn system(&self) -> Patched<'_> {
        Patched {
            index: &self.state.system,
            patch: &self.system,
        }
    }

    /// From when on what went is remembered.
    fn since(&self) -> i64 {
        self.now.saturating_sub(KNOWN_FOR)
    }

    pub(super) fn list(&self, scope: Scope<'_>) -> Listing {
        let list = |list: Patched<'_>| Listing {
            registrations: list.rows().map(registration).collect(),
            revision: list.revision(),
        };
        self.scope(scope).map(list).unwrap_or_default()
    }

    /// The listed registrations of the users whom a name means. One of the last hour counts where it is spelled so.
    pub(super) fn list_user(&self, scope: Scope<'_>, username: &[u8]) -> Listing {
        let Some(list) = self.scope(scope) else {
            return Listing::default();
        };
        let known = self.known_aors(scope, username);
        let mut registrations = list.of_user(Asked::new(username));
        registrations.retain(|one| {
            let mut known = known.iter();
            known.any(|(name, domain)| is_of(one, name, domain.as_ref()))
        });
        let sum = |sum: u64, one: &Arc<Registration>| sum.wrapping_add(one.digest());
        Listing {
            revision: registrations.iter().fold(0, sum),
            registrations,
        }
    }

    pub(super) fn page(&self, scope: Scope<'_>, after: Option<&Position>, limit: usize) -> Page {
        let page = |list: Patched<'_>| list.page(after, limit);
        self.scope(scope).map(page).unwrap_or_default()
    }

    pub(super) fn count(&self, scope: Scope<'_>) -> (usize, u64) {
        let count = |list: Patched<'_>| (list.len(), list.revision());
        self.scope(scope).map(count).unwrap_or_default()
    }

    /// Those of the listed registrations that are `wanted` and were modified last, the latest first.
    pub(super) fn newest(
        &self,
        count: usize,
        wanted: impl Fn(&Registration) -> bool,
    ) -> Vec<Arc<Registration>> {
        let mut newest: BTreeSet<(i64, &Row)> = BTreeSet::new();
        for row in self.system().rows() {
            let at = row.binding().last_modified;
            let is_full = newest.len() >= count;
            if is_full && newest.first().is_none_or(|(oldest, _)| *oldest >= at) {
                continue;
            }
            if wanted(row.registration()) {
                newest.insert((at, row));
                if is_full {
                    newest.pop_first();
                }
            }
        }
        let newest = newest.into_iter().rev();
        newest.map(|(_, row)| registration(row)).collect()
    }

    pub(super) fn rows_of(&self, username: &Text, domain: Option<&Text>) -> Vec<Arc<Registration>> {
        self.of_aor(username, domain)
            .filter(|one| is_current(&self.state.hidden, self.now, one))
            .cloned()
            .collect()
    }

    pub(super) fn listed_of(
        &self,
        username: &Text,
        domain: Option<&Text>,
    ) -> Vec<Arc<Registration>> {
        let user = name_of(username, domain);
        let mut rows = self.system().of_user(Asked::new(&user));
        rows.retain(|one| is_of(one, username, domain));
        rows
    }

    pub(super) fn is_anothers(
        &self,
        account: &str,
        table: &str,
        username: &Text,
        domain: Option<&Text>,
    ) -> bool {
        let mut rows = self
            .of_aor(username, domain)
            .filter(|one| &*one.binding.key.table == table)
            .peekable();
        if rows.peek().is_some() {
            return rows.any(|one| one.account_id.as_deref() != Some(account));
        }
        let gone = self.state.tombstones.of_aor(username, domain, self.since());
        let gone: Vec<_> = gone.collect();
        // Of the same second either may be the last.
        let last = gone.iter().map(|(_, at)| *at).max();
        gone.iter()
            .any(|(id, at)| Some(*at) == last && *id != account)
    }

    pub(super) fn shares_domain(&self, account: &str, domain: Option<&Text>) -> bool {
        let mut rows = self.state.rows.all().iter();
        rows.any(|one| {
            one.binding.domain.as_ref() == domain && one.account_id.as_deref() != Some(account)
        })
    }

    pub(super) fn knows_account(&self, id: &str) -> bool {
        self.state.accounts.contains_key(id) || self.state.tombstones.has_account(id, self.since())
    }

    /// Looks at rows and tombstones of `scope` alone: how long it takes tells nothing about other accounts.
    pub(super) fn known_aors(&self, scope: Scope<'_>, username: &[u8]) -> Vec<Aor> {
        let asked = Asked::new(username);
        let there = self.scope(scope).into_iter();
        let there = there
            .flat_map(|list| list.index.rows_of_user(asked))
            .map(|row| (row.binding().username.clone(), row.binding().domain.clone()));
        let tombstones = &self.state.tombstones;
        let gone = match scope {
            Scope::System => tombstones.of_user_anywhere(asked, self.since()),
            Scope::Account(id) => tombstones.of_user(id, asked, self.since()),
        };
        let aors: BTreeSet<_> = there.chain(gone).collect();
        asked.exact_first(aors.into_iter().collect(), |(username, domain)| {
            name_of(username, domain.as_ref())
        })
    }

    pub(super) fn superseded(&self) -> usize {
        self.state.ambiguities.superseded() - self.released
    }

    pub(super) fn counts(&self) -> Counts {
        let (state, rows) = (self.state, &self.state.rows);
        Counts {
            listed: self.system().by_transport(),
            hidden: state.hidden.keys().filter(|key| rows.contains(key)).count(),
            superseded: self.superseded(),
            rows: rows.len(),
        }
    }

    pub(super) fn accounts(&self) -> Vec<(Arc<str>, usize)> {
        let count = |(id, index): (&Arc<str>, _)| {
            let patch = self.accounts.get(id).unwrap_or(&NONE);
            (Arc::clone(id), Patched { index, patch }.len())
        };
        let mut accounts: Vec<_> = self.state.accounts.iter().map(count).collect();
        accounts.sort();
        accounts
    }

    /// Every row of an address of record, listed or not, in order.
    fn of_aor(
        &self,
        username: &Text,
        domain: Option<&Text>,
    ) -> impl Iterator<Item = &'a Arc<Registration>> {
        let user = name_of(username, domain);
        let rows = self.state.system.rows_of_user(Asked::new(&user));
        let rows: BTreeSet<&Row> = rows
            .filter(|row| is_of(row.registration(), username, domain))
            .collect();
        rows.into_iter().map(Row::registration)
    }
}

impl Patch {
    fn put(&mut self, row: &Row, is_listed: bool) {
        let rows = if is_listed {
            &mut self.come
        } else {
            &mut self.gone
        };
        rows.insert(row.clone());
    }

    fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.come.is_empty()
    }

    fn come(&self) -> impl Iterator<Item = &Registration> {
        self.come.iter().map(|row| &**row.registration())
    }

    fn gone(&self) -> impl Iterator<Item = &Registration> {
        self.gone.iter().map(|row| &**row.registration())
    }
}

impl<'a> Patched<'a> {
    fn rows(self) -> impl Iterator<Item = &'a Row> {
        self.merged(self.index.listed(), self.patch.come.iter())
    }

    fn rows_after(self, place: &dyn Placed) -> impl Iterator<Item = &'a Row> {
        let come = following(&self.patch.come, place);
        self.merged(self.index.listed_after(place), come)
    }

    fn of_user(self, asked: Asked<'_>) -> Vec<Arc<Registration>> {
        let come = of_user(&self.patch.come, asked);
        let rows = self.merged(self.index.listed_of(asked), come);
        rows.map(registration).collect()
    }

    /// What is kept but for what is gone, and what has come; both are in order.
    fn merged<'b>(
        self,
        kept: impl Iterator<Item = &'b Row>,
        come: impl Iterator<Item = &'b Row>,
    ) -> impl Iterator<Item = &'b Row>
    where
        'a: 'b,
    {
        let gone = &self.patch.gone;
        let is_kept = |row: &&Row| gone.is_empty() || !gone.contains(*row);
        let mut kept = kept.filter(is_kept).peekable();
        let mut come = come.peekable();
        iter::from_fn(move || {
            let is_next = |kept: &&Row| come.peek().is_none_or(|come| *kept < *come);
            kept.next_if(is_next).or_else(|| come.next())
        })
    }

    fn page(self, after: Option<&Position>, limit: usize) -> Page {
        let start = Position::from_bytes(&[]);
        let mut rows = self.rows_after(after.unwrap_or(&start));
        let registrations = rows
            .by_ref()
            .take(limit)
            .map(|row| (row.position(), registration(row)))
            .collect();
        Page {
            registrations,
            more: rows.next().is_some(),
            revision: self.revision(),
        }
    }

    fn len(self) -> usize {
        self.index.len() - self.patch.gone.len() + self.patch.come.len()
    }

    fn revision(self) -> u64 {
        let add = |sum: u64, one: &Registration| sum.wrapping_add(one.digest());
        let subtract = |sum: u64, one: &Registration| sum.wrapping_sub(one.digest());
        let kept = self.patch.gone().fold(self.index.revision(), subtract);
        self.patch.come().fold(kept, add)
    }

    fn by_transport(self) -> ByTransport {
        let mut counts = self.index.by_transport();
        for one in self.patch.gone() {
            counts[by_transport(one)] -= 1;
        }
        for one in self.patch.come() {
            counts[by_transport(one)] += 1;
        }
        counts
    }
}

fn registration(row: &Row) -> Arc<Registration> {
    Arc::clone(row.registration())
}

fn is_of(one: &Registration, username: &Text, domain: Option<&Text>) -> bool {
    one.binding.username == *username && one.binding.domain.as_ref() == domain
}

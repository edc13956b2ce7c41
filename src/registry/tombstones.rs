//! Tombstones: an account or a username stays known for an hour after its last row went.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::lists::named::Asked;
use crate::registration::{Name, Registration, Text, Tombstone};

/// An address of record: `username`, `domain`.
pub(super) type Aor = (Text, Option<Text>);

/// Users whose rows went, each once, with the time when the last one did. By account, so that how long a question about
/// one takes says nothing about others. What is asked for is what went at `since` or later.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    /// Rows of no account are under the empty id, which no account has.
    by_account: HashMap<Arc<str>, BTreeMap<User, i64>>,
    by_time: BTreeSet<(i64, Arc<str>, User)>,
}

/// A user: the name as it is listed, in lower case; the columns of the row.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct User {
    any_case: Arc<[u8]>,
    username: Text,
    domain: Option<Text>,
}

impl Tombstones {
    /// Remembers a user; the latest time counts.
    pub(super) fn remember(&mut self, tombstone: Tombstone) {
        let Tombstone {
            account,
            username,
            domain,
            at,
        } = tombstone;
        let account = account.unwrap_or_default();
        let user = User::new(username, domain);
        let users = self.by_account.entry(Arc::clone(&account)).or_default();
        let former = users.insert(user.clone(), at);
        if let Some(former) = former {
            let (account, user) = (Arc::clone(&account), user.clone());
            self.by_time.remove(&(former, account, user));
        }
        self.by_time.insert((at, account, user));
    }

    /// Whether a row of the account went.
    pub(super) fn has_account(&self, id: &str, since: i64) -> bool {
        let mut times = self
            .by_account
            .get(id)
            .into_iter()
            .flat_map(BTreeMap::values);
        times.any(|at| *at >= since)
    }

    /// The addresses of record of the account's users whom a name means, the case of letters aside.
    pub(super) fn of_user(&self, account: &str, asked: Asked<'_>, since: i64) -> Vec<Aor> {
        let users = self.by_account.get(account);
        users.map_or_else(Vec::new, |users| aors(users, asked, since))
    }

    /// The same, whatever their account.
    pub(super) fn of_user_anywhere(&self, asked: Asked<'_>, since: i64) -> Vec<Aor> {
        let accounts = self.by_account.values();
        accounts
            .flat_map(|users| aors(users, asked, since))
            .collect()
    }

    /// The accounts that had this address of record, and when the last row of each went; the empty id is that of no
    /// account.
    pub(super) fn of_aor(
        &self,
        username: &Text,
        domain: Option<&Text>,
        since: i64,
    ) -> impl Iterator<Item = (&str, i64)> {
        let user = User::new(username.clone(), domain.cloned());
        self.by_account
            .iter()
            .filter_map(move |(account, users)| Some((&**account, *users.get(&user)?)))
            .filter(move |(_, at)| *at >= since)
    }

    /// All of them, the earliest first.
    pub(super) fn all(&self) -> Vec<Tombstone> {
        let tombstone = |(at, account, user): &(i64, Arc<str>, User)| Tombstone {
            account: Some(Arc::clone(account)).filter(|id| !id.is_empty()),
            username: user.username.clone(),
            domain: user.domain.clone(),
            at: *at,
        };
        self.by_time.iter().map(tombstone).collect()
    }

    /// Forgets whose rows went before `at`.
    pub(super) fn forget_before(&mut self, at: i64) {
        while self.by_time.first().is_some_and(|first| first.0 < at) {
            let Some((_, account, user)) = self.by_time.pop_first() else {
                return;
            };
            if let Some(users) = self.by_account.get_mut(&account) {
                users.remove(&user);
                if users.is_empty() {
                    self.by_account.remove(&account);
                }
            }
        }
    }
}

impl User {
    fn new(username: Text, domain: Option<Text>) -> Self {
        let any_case = name_of(&username, domain.as_ref()).to_ascii_lowercase();
        Self {
            any_case: any_case.into(),
            username,
            domain,
        }
    }

    /// As it is listed.
    fn name(&self) -> Cow<'_, [u8]> {
        name_of(&self.username, self.domain.as_ref())
    }
}

/// Whether the former user of a row, or its account, may have no row any more.
pub(super) fn has_moved(former: &Registration, current: &Registration) -> bool {
    former.account_id != current.account_id
        || former.binding.username != current.binding.username
        || former.binding.domain != current.binding.domain
}

/// What is remembered of a row that went: a copy, because one text would keep all of the row's in memory.
pub(super) fn tombstone(former: &Registration, at: i64) -> Tombstone {
    Tombstone {
        account: former.account_id.clone(),
        username: former.binding.username.as_bytes().into(),
        domain: former.binding.domain.clone(),
        at,
    }
}

/// The user that an address of record is listed as.
pub(super) fn name_of<'a>(username: &'a Text, domain: Option<&'a Text>) -> Cow<'a, [u8]> {
    Name::of_columns(username.as_bytes(), domain.map(Text::as_bytes)).user
}

fn aors(users: &BTreeMap<User, i64>, asked: Asked<'_>, since: i64) -> Vec<Aor> {
    let beginning = asked.beginning();
    let first = User {
        any_case: beginning.lower.as_slice().into(),
        username: Text::default(),
        domain: None,
    };
    users
        .range(first..)
        .take_while(|(user, _)| beginning.is_of(&user.any_case))
        .filter(|(user, at)| **at >= since && asked.means(&user.name()))
        .map(|(user, _)| (user.username.clone(), user.domain.clone()))
        .collect()
}

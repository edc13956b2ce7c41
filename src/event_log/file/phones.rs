//! The phones, accounts and traits that a batch of events is about: looked up together, extended, and written together.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use sqlx::{Row, SqliteConnection};
use xxhash_rust::xxh3::Xxh3;

use super::append::{UNOWNED, insert};
use super::common::{agent_of, common_of};
use super::rows::json;
use super::state::State;
use crate::events::{Event, What};
use crate::registration::{Column, Registration};

/// How many phones of a user are compared with a registration.
const COMPARED: usize = 8;

/// A state that differs by fewer bytes than this, or by fewer than half its phone's base has, is of that phone.
const CLOSE: usize = 72;

/// What a batch of events is about.
#[derive(Debug, Default)]
pub(super) struct Sought<'a> {
    accounts: HashSet<&'a str>,
    traits: HashSet<Vec<u8>>,
    names: HashSet<i64>,
}

impl<'a> Sought<'a> {
    /// What these events are about.
    pub(super) fn by(events: impl Iterator<Item = &'a Event>) -> Self {
        let mut sought = Self::default();
        for event in events {
            match &event.what {
                What::Registration(it) => {
                    let former = it.former.as_ref();
                    for one in [&it.registration].into_iter().chain(former) {
                        sought.accounts.extend(one.account_id.as_deref());
                        sought.traits.insert(common_of(one));
                        sought.traits.extend(agent_of(one));
                        let name = name(one.account_id.as_deref(), &one.binding.user());
                        sought.names.insert(name);
                    }
                }
                What::Burst(burst) => sought.accounts.extend(burst.account.as_deref()),
                What::Source(_) | What::Directory | What::Gap(_) => {}
            }
        }
        sought
    }
}

/// A phone as it is known.
#[derive(Debug)]
pub(super) struct Phone {
    pub(super) id: i64,
    pub(super) account: i64,
    common: i64,
    agent: i64,
    /// Its newest row.
    last: u64,
    base: State<'static>,
    base_bytes: Vec<u8>,
    /// The state that its newest row has, where that has one.
    state: Option<Vec<u8>>,
    is_new: bool,
    is_changed: bool,
    name: i64,
}

/// What is known of what a batch of events is about.
#[derive(Debug)]
pub(super) struct Known {
    /// By name: the id, and the newest row.
    accounts: HashMap<String, i64>,
    lasts: HashMap<i64, u64>,
    traits: HashMap<Vec<u8>, i64>,
    by_name: HashMap<i64, Vec<usize>>,
    pub(super) phones: Vec<Phone>,
    /// The ids that come next, of accounts, traits and phones.
    next: [i64; 3],
    new_accounts: Vec<(i64, String)>,
    new_traits: Vec<(i64, Vec<u8>)>,
    changed_accounts: HashSet<i64>,
}

/// A hash by which a user's phones are found.
pub(super) fn name(account: Option<&str>, user: &[u8]) -> i64 {
    let mut hash = Xxh3::new();
    hash.update(account.unwrap_or_default().as_bytes());
    hash.update(&[0, u8::from(account.is_some())]);
    hash.update(&user.to_ascii_lowercase());
    i64::from((hash.digest() & 0x7fff_ffff) as u32)
}

impl Known {
    /// What the file has of them; `next` are the ids that come next, of accounts, traits and phones.
    pub(super) async fn look_up(
        connection: &mut SqliteConnection,
        sought: &Sought<'_>,
        next: [i64; 3],
    ) -> Result<Self, sqlx::Error> {
        let mut known = Self {
            accounts: HashMap::new(),
            lasts: HashMap::new(),
            traits: HashMap::new(),
            by_name: HashMap::new(),
            phones: Vec::new(),
            next,
            new_accounts: Vec::new(),
            new_traits: Vec::new(),
            changed_accounts: HashSet::new(),
        };
        known.look_up_accounts(connection, sought).await?;
        known.look_up_traits(connection, sought).await?;
        known.look_up_phones(connection, sought).await?;
        Ok(known)
    }

    async fn look_up_accounts(
        &mut self,
        connection: &mut SqliteConnection,
        sought: &Sought<'_>,
    ) -> Result<(), sqlx::Error> {
        const ACCOUNTS: &str = "SELECT id, name, last FROM account WHERE id < 2 OR name IN (SELECT value FROM json_each(?1))";
        let names: Vec<&str> = sought.accounts.iter().copied().collect();
        let names = serde_json::to_string(&names).map_err(|it| sqlx::Error::Encode(it.into()))?;
        for row in sqlx::query(ACCOUNTS)
            .bind(names)
            .fetch_all(connection)
            .await?
        {
            let (id, last): (i64, i64) = (row.try_get(0)?, row.try_get(2)?);
            if let Some(name) = row.try_get(1)? {
                self.accounts.insert(name, id);
            }
            self.lasts.insert(id, last.cast_unsigned());
        }
        Ok(())
    }

    async fn look_up_traits(
        &mut self,
        connection: &mut SqliteConnection,
        sought: &Sought<'_>,
    ) -> Result<(), sqlx::Error> {
        const TRAITS: &str = "SELECT id, content FROM trait WHERE content IN (SELECT unhex(value) FROM json_each(?1))";
        let mut contents = String::from("[");
        for content in &sought.traits {
            let separator = if contents.len() > 1 { "," } else { "" };
            // Writing to a string does not fail.
            let _ = write!(contents, "{separator}\"{}\"", hex::encode(content));
        }
        contents.push(']');
        for row in sqlx::query(TRAITS)
            .bind(contents)
            .fetch_all(connection)
            .await?
        {
            self.traits.insert(row.try_get(1)?, row.try_get(0)?);
        }
        Ok(())
    }

    async fn look_up_phones(
        &mut self,
        connection: &mut SqliteConnection,
        sought: &Sought<'_>,
    ) -> Result<(), sqlx::Error> {
        const PHONES: &str = include_str!("../../../sql/history/phones.sql");
        let names = json(sought.names.iter().map(|name| name.cast_unsigned()));
        for row in sqlx::query(PHONES)
            .bind(names)
            .fetch_all(connection)
            .await?
        {
            let (name, last): (i64, i64) = (row.try_get(1)?, row.try_get(5)?);
            let base: &[u8] = row.try_get(6)?;
            let decoded = State::from_difference(base, &State::default());
            let malformed = || sqlx::Error::Decode("a phone cannot be read".into());
            let phone = Phone {
                id: row.try_get(0)?,
                account: row.try_get(2)?,
                common: row.try_get(3)?,
                agent: row.try_get(4)?,
                last: last.cast_unsigned(),
                base_bytes: base.to_vec(),
                base: decoded.ok_or_else(malformed)?,
                state: row.try_get(7)?,
                is_new: false,
                is_changed: false,
                name,
            };
            self.by_name
                .entry(name)
                .or_default()
                .push(self.phones.len());
            self.phones.push(phone);
        }
        Ok(())
    }

    /// The id of an account; `none` where there is no account.
    pub(super) fn account(&mut self, name: Option<&str>, none: i64) -> i64 {
        let Some(name) = name else {
            return none;
        };
        if let Some(id) = self.accounts.get(name) {
            return *id;
        }
        let id = self.next[0];
        self.next[0] += 1;
        self.accounts.insert(name.to_owned(), id);
        self.new_accounts.push((id, name.to_owned()));
        id
    }

    fn of_trait(&mut self, content: Vec<u8>) -> i64 {
        if let Some(id) = self.traits.get(&content) {
            return *id;
        }
        let id = self.next[1];
        self.next[1] += 1;
        self.new_traits.push((id, content.clone()));
        self.traits.insert(content, id);
        id
    }

    /// The phone that a registration is of, one that was not known before where need be, and how the registration's
    /// state differs from its base; `None` where the phone's newest row has that.
    pub(super) fn phone_of(&mut self, one: &Registration) -> (usize, Option<Vec<u8>>) {
        let account = self.account(one.account_id.as_deref(), UNOWNED);
        let common = self.of_trait(common_of(one));
        let agent = agent_of(one).map_or(0, |content| self.of_trait(content));
        let name = name(one.account_id.as_deref(), &one.binding.user());
        let state = State::of(one);
        let of_name = self.by_name.get(&name).map(Vec::as_slice);
        let fitting = of_name.unwrap_or_default().iter().copied().filter(|index| {
            let phone = &self.phones[*index];
            (phone.account, phone.common, phone.agent) == (account, common, agent)
                && phone.base.column(Column::Username) == state.column(Column::Username)
        });
        let mut closest: Option<(usize, Vec<u8>)> = None;
        for index in fitting.take(COMPARED) {
            let phone = &self.phones[index];
            let difference = state.difference(&phone.base);
            if phone.state.as_ref() == Some(&difference) {
                return (index, None);
            }
            let is_close = difference.len() < CLOSE.max(phone.base_bytes.len() / 2);
            let is_closer = |(_, best): &(usize, Vec<u8>)| difference.len() < best.len();
            if is_close && closest.as_ref().is_none_or(is_closer) {
                closest = Some((index, difference));
            }
        }
        if let Some((index, difference)) = closest {
            return (index, Some(difference));
        }
        let base = state.difference(&State::default());
        let difference = state.difference(&state);
        let phone = Phone {
            id: self.next[2],
            account,
            common,
            agent,
            last: 0,
            base: State::from_difference(&base, &State::default()).unwrap_or_default(),
            base_bytes: base,
            state: None,
            is_new: true,
            is_changed: false,
            name,
        };
        self.next[2] += 1;
        let index = self.phones.len();
        self.phones.push(phone);
        self.by_name.entry(name).or_default().insert(0, index);
        (index, Some(difference))
    }

    /// Makes `place` the newest row of a phone, with this state or that of the row before. Returns how far back that
    /// is.
    pub(super) fn follow_phone(&mut self, phone: usize, place: u64, state: Option<&[u8]>) -> u64 {
        let phone = &mut self.phones[phone];
        let last = std::mem::replace(&mut phone.last, place);
        phone.state = state.map(<[u8]>::to_vec);
        phone.is_changed = true;
        back(place, last)
    }

    /// Makes `place` the newest row of an account. Returns how far back the one before is.
    pub(super) fn follow_account(&mut self, account: i64, place: u64) -> u64 {
        let last = self.lasts.insert(account, place);
        self.changed_accounts.insert(account);
        back(place, last.unwrap_or_default())
    }

    /// Writes what is new and what has changed; the caller's transaction is around it.
    pub(super) async fn write(self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        const ACCOUNTS: &str = "INSERT INTO account (id, name, last) ";
        const TRAITS: &str = "INSERT INTO trait (id, content) ";
        const PHONES: &str = "INSERT INTO phone (id, name, account, common, agent, last, base) ";
        const ACCOUNT_LASTS: &str = "UPDATE account SET last = new.value ->> 1 FROM json_each(?1) AS new WHERE account.id = new.value ->> 0";
        const PHONE_LASTS: &str = "UPDATE phone SET last = new.value ->> 1 FROM json_each(?1) AS new WHERE phone.id = new.value ->> 0";
        insert(
            connection,
            ACCOUNTS,
            self.new_accounts,
            |values, (id, name)| {
                values.push_bind(id).push_bind(name).push_bind(0);
            },
        )
        .await?;
        insert(
            connection,
            TRAITS,
            self.new_traits,
            |values, (id, content)| {
                values.push_bind(id).push_bind(content);
            },
        )
        .await?;
        let (new, old): (Vec<_>, Vec<_>) = self.phones.into_iter().partition(|it| it.is_new);
        let changed = old.iter().filter(|phone| phone.is_changed);
        let lasts = pairs(changed.map(|phone| (phone.id, phone.last)));
        insert(connection, PHONES, new, |values, phone| {
            values
                .push_bind(phone.id)
                .push_bind(phone.name)
                .push_bind(phone.account)
                .push_bind(phone.common)
                .push_bind(phone.agent)
                .push_bind(phone.last.cast_signed())
                .push_bind(phone.base_bytes);
        })
        .await?;
        let of_accounts = pairs(self.changed_accounts.iter().map(|id| (*id, self.lasts[id])));
        for (sql, lasts) in [(PHONE_LASTS, lasts), (ACCOUNT_LASTS, of_accounts)] {
            sqlx::query(sql)
                .bind(lasts)
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }
}

/// How far `place` is behind `last`; 0 where there is none.
fn back(place: u64, last: u64) -> u64 {
    if last == 0 { 0 } else { place - last }
}

/// Pairs of numbers as a JSON array.
fn pairs(pairs: impl Iterator<Item = (i64, u64)>) -> String {
    let pairs: Vec<String> = pairs.map(|(id, last)| format!("[{id},{last}]")).collect();
    format!("[{}]", pairs.join(","))
}

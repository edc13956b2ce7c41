//! The phones and traits that a batch of events is about: looked up together, extended, and written together.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use sqlx::{Row, SqliteConnection};
use xxhash_rust::xxh3::xxh3_64;

use super::common::{account_of, agent_of, common_of};
use super::places::{NO_PHONE, insert, json};
use super::state::State;
use crate::events::{Event, What};
use crate::registration::{Column, Registration};

/// How many phones of a user are compared with a registration.
const COMPARED: usize = 8;

/// A state that differs by fewer bytes than this, or by fewer than half its phone's base has, is of that phone.
const CLOSE: usize = 72;

/// What a batch of events is about.
#[derive(Debug, Default)]
pub(super) struct Sought {
    traits: HashSet<Vec<u8>>,
    names: HashSet<i64>,
}

impl Sought {
    /// What these events are about.
    pub(super) fn by<'a>(events: impl Iterator<Item = &'a Event>) -> Self {
        let mut sought = Self::default();
        for event in events {
            let What::Registration(it) = &event.what else {
                continue;
            };
            for one in [&it.registration].into_iter().chain(&it.former) {
                sought.traits.extend(traits_of(one).into_iter().flatten());
                sought.names.insert(name_of(one));
            }
        }
        sought
    }
}

/// The account, the common part and the user agent of a registration.
fn traits_of(one: &Registration) -> [Option<Vec<u8>>; 3] {
    let account = one.account_id.as_deref();
    [account.map(account_of), Some(common_of(one)), agent_of(one)]
}

/// A phone as it is known.
#[derive(Debug)]
pub(super) struct Phone {
    pub(super) id: i64,
    traits: [i64; 3],
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
    traits: HashMap<Vec<u8>, i64>,
    by_name: HashMap<i64, Vec<usize>>,
    pub(super) phones: Vec<Phone>,
    /// The newest row of what is not about a registration, and whether that has changed.
    others: (u64, bool),
    /// The ids that come next, of traits and phones.
    next: [i64; 2],
    new_traits: Vec<(i64, Vec<u8>)>,
}

/// The names of an account's phones: from and to.
pub(super) fn names_of(account: Option<&str>) -> (i64, i64) {
    const USER_BITS: u32 = 28;
    const ACCOUNT_BITS: u32 = 19;
    let hash = account.map_or(0, |id| xxh3_64(id.as_bytes()) | 1);
    let from = (hash & ((1 << ACCOUNT_BITS) - 1)).cast_signed() << USER_BITS;
    (from, from + (1 << USER_BITS) - 1)
}

/// Under what a user's phones are found, in whatever case of letters the user is written.
pub(super) fn name(account: Option<&str>, user: &[u8]) -> i64 {
    let (from, to) = names_of(account);
    from + (xxh3_64(&user.to_ascii_lowercase()).cast_signed() & (to - from))
}

fn name_of(one: &Registration) -> i64 {
    name(one.account_id.as_deref(), &one.binding.user())
}

impl Known {
    /// What the file has of them; `next` are the ids that come next, of traits and phones.
    pub(super) async fn look_up(
        connection: &mut SqliteConnection,
        sought: &Sought,
        next: [i64; 2],
    ) -> Result<Self, sqlx::Error> {
        let mut known = Self {
            traits: HashMap::new(),
            by_name: HashMap::new(),
            phones: Vec::new(),
            others: (0, false),
            next,
            new_traits: Vec::new(),
        };
        known.look_up_traits(connection, sought).await?;
        known.look_up_phones(connection, sought).await?;
        Ok(known)
    }

    async fn look_up_traits(
        &mut self,
        connection: &mut SqliteConnection,
        sought: &Sought,
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
        sought: &Sought,
    ) -> Result<(), sqlx::Error> {
        const PHONES: &str = include_str!("../../../sql/history/phones.sql");
        let names = json(sought.names.iter().map(|name| name.cast_unsigned()));
        for row in sqlx::query(PHONES)
            .bind(names)
            .fetch_all(connection)
            .await?
        {
            let (name, last): (i64, i64) = (row.try_get(1)?, row.try_get(5)?);
            if row.try_get::<i64, _>(0)? == NO_PHONE {
                self.others.0 = last.cast_unsigned();
                continue;
            }
            let base: &[u8] = row.try_get(6)?;
            let decoded = State::from_difference(base, &State::usual());
            let malformed = || sqlx::Error::Decode("a phone cannot be read".into());
            let phone = Phone {
                id: row.try_get(0)?,
                traits: [row.try_get(2)?, row.try_get(3)?, row.try_get(4)?],
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

    fn of_trait(&mut self, content: Vec<u8>) -> i64 {
        if let Some(id) = self.traits.get(&content) {
            return *id;
        }
        let id = self.next[0];
        self.next[0] += 1;
        self.new_traits.push((id, content.clone()));
        self.traits.insert(content, id);
        id
    }

    /// The phone that a registration is of, one that was not known before where need be, and how the registration's
    /// state differs from its base; `None` where the phone's newest row has that.
    pub(super) fn phone_of(&mut self, one: &Registration) -> (usize, Option<Vec<u8>>) {
        let traits = traits_of(one);
        let traits = traits.map(|content| content.map_or(0, |content| self.of_trait(content)));
        let name = name_of(one);
        let state = State::of(one);
        let of_name = self.by_name.get(&name).map(Vec::as_slice);
        let fitting = of_name.unwrap_or_default().iter().copied().filter(|index| {
            let phone = &self.phones[*index];
            phone.traits == traits
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
        let base = state.difference(&State::usual());
        let difference = state.difference(&state);
        let phone = Phone {
            id: self.next[1],
            traits,
            last: 0,
            base: state.to_owned(),
            base_bytes: base,
            state: None,
            is_new: true,
            is_changed: false,
            name,
        };
        self.next[1] += 1;
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

    /// Makes `place` the newest row that is not about a registration. Returns how far back the one before is.
    pub(super) fn follow_no_phone(&mut self, place: u64) -> u64 {
        let (last, _) = std::mem::replace(&mut self.others, (place, true));
        back(place, last)
    }

    /// Writes what is new and what has changed; the caller's transaction is around it.
    pub(super) async fn write(self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        const TRAITS: &str = "INSERT INTO trait (id, content) ";
        const PHONES: &str = "INSERT INTO phone (id, name, account, common, agent, base) ";
        const NEWEST: &str = "INSERT OR REPLACE INTO newest (phone, place) SELECT value ->> 0, value ->> 1 FROM json_each(?1)";
        insert(
            connection,
            TRAITS,
            self.new_traits,
            |values, (id, content)| {
                values.push_bind(id).push_bind(content);
            },
        )
        .await?;
        let changed = self.phones.iter().filter(|phone| phone.is_changed);
        let mut newest: Vec<(i64, u64)> = changed.map(|phone| (phone.id, phone.last)).collect();
        let (others, is_changed) = self.others;
        newest.extend(is_changed.then_some((NO_PHONE, others)));
        newest.sort_unstable();
        let new = self.phones.into_iter().filter(|phone| phone.is_new);
        insert(connection, PHONES, new.collect(), |values, phone| {
            values.push_bind(phone.id).push_bind(phone.name);
            for id in phone.traits {
                values.push_bind(id);
            }
            values.push_bind(phone.base_bytes);
        })
        .await?;
        sqlx::query(NEWEST)
            .bind(pairs(&newest))
            .execute(connection)
            .await?;
        Ok(())
    }
}

/// How far `place` is behind `last`; 0 where there is none.
fn back(place: u64, last: u64) -> u64 {
    if last == 0 { 0 } else { place - last }
}

/// Pairs of numbers as a JSON array.
fn pairs(pairs: &[(i64, u64)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(a, b)| format!("[{a},{b}]")).collect();
    format!("[{}]", pairs.join(","))
}

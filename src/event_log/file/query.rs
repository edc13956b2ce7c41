//! Finding events: whose they are, when they were, and what.
//!
//! Events of a user or of an account are walked to along their chains, all others are looked for side by side, in
//! portions: a question that is no longer waited for ends with the portion that is being read.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::code::Code;
use super::places::{MOMENT, NO_PHONE, json, last_place, seq_at};
use super::rows;
use super::users;
use crate::events::{Event, Reason, Type, Viewer, What};

/// How many rows are walked along or scanned at a time.
const WALKED: usize = 64;
const MOST_WALKED: usize = 1 << 14;
const SCANNED: u64 = 1 << 17;

/// Of more phones than this, events are looked for among all.
const CHAINS: usize = 2_000;

/// Rows of a chain between two ways into it.
const APART: usize = 64;

/// A range of fewer places than this for each phone is read through: a row that is walked to costs about as much as
/// eight that follow one another. Few in tests, which are to come both ways.
const SHORT: usize = if cfg!(test) { 8 } else { 8 * APART };

/// How many events are read at a time.
const PORTION: usize = 1_000;

/// Which events are asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// Whose.
    pub of: Of,
    /// Seen at this moment or later, in milliseconds since the Unix epoch.
    pub from: Option<u64>,
    /// Seen at this moment or earlier.
    pub to: Option<u64>,
    /// Of these types, as the viewer sees them; `None` for all.
    pub types: Option<Vec<Type>>,
    /// Of these reasons; `None` for all, and for those that have none.
    pub reasons: Option<Vec<Reason>>,
    /// With smaller numbers than this.
    pub before: Option<u64>,
    /// How many at most.
    pub limit: usize,
}

/// Whose events are asked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Of {
    /// What the system's list shows.
    All,
    /// What the lists of these accounts show.
    Accounts(Vec<String>),
    /// What the list of this account shows of the SIP users whom a name means: in any case of letters, unless one is
    /// spelled exactly so. What is not about a registration is left out.
    User {
        /// The account's id.
        account: String,
        /// The user.
        username: String,
    },
}

/// How events are found.
#[derive(Debug)]
enum Way {
    /// Along the chains of these phones.
    Walk(Vec<i64>),
    /// Row by row: in a short range that is cheaper than walking into the middle of each of these phones' chains.
    ReadThrough(Vec<i64>),
    /// Among all, or among those of these accounts.
    Scan(Option<Vec<i64>>),
}

/// The events that are asked for, the newest first.
pub(super) async fn answer(
    connection: &mut SqliteConnection,
    query: &Query,
) -> Result<Vec<Event>, sqlx::Error> {
    let mut found = Vec::new();
    let codes = query.codes();
    let way = query.way(connection, &codes).await?;
    let (low, mut high) = match (&way, query.from, query.to) {
        // Chains have their ends.
        (Way::Walk(_), None, None) => (1, i64::MAX.cast_unsigned()),
        (_, from, to) => match hull(connection, from, to).await? {
            Some(range) => range,
            None => return Ok(found),
        },
    };
    if let Some(before) = query.before {
        high = high.min(last_place(before.saturating_sub(1)));
    }
    let way = way.in_range(low, high);
    while found.len() < query.limit && high >= low {
        let wanted = query.limit - found.len();
        let (numbers, next) = match &way {
            Way::Walk(phones) => walk(connection, phones, &codes, (low, high), wanted).await?,
            Way::ReadThrough(phones) => {
                read_through(connection, phones, &codes, (low, high), wanted).await?
            }
            Way::Scan(of) => scan(connection, of.as_deref(), &codes, (low, high), wanted).await?,
        };
        for part in numbers.chunks(PORTION) {
            let events = rows::of(connection, part).await?;
            let is_wanted = |event: &Event| query.is_for(event);
            found.extend(events.into_iter().rev().filter(is_wanted));
        }
        let Some(next) = next else {
            break;
        };
        high = next;
    }
    found.truncate(query.limit);
    Ok(found)
}

/// The events that were seen at `at` or later, and those after the number `seq` whenever they were seen, ascending.
pub(super) async fn since(
    connection: &mut SqliteConnection,
    at: u64,
    seq: u64,
) -> Result<Vec<Event>, sqlx::Error> {
    let mut found = Vec::new();
    let first = first_since(connection, at).await?;
    let mut after = first.map_or(seq, |first| seq.min(first.saturating_sub(1)));
    while let Some((_, events)) = rows::after(connection, after, PORTION).await?
        && let Some(last) = events.last()
    {
        after = last.seq;
        let is_wanted = |event: &Event| event.at >= at || event.seq > seq;
        found.extend(events.into_iter().filter(is_wanted));
    }
    Ok(found)
}

/// A number before which no event was seen at `at` or later; `None` where there is none of that time at all.
pub(super) async fn first_since(
    connection: &mut SqliteConnection,
    at: u64,
) -> Result<Option<u64>, sqlx::Error> {
    let range = hull(connection, Some(at), None).await?;
    Ok(range.map(|(low, _)| seq_at(low)))
}

/// The first place and the last of what was seen from one moment to another.
async fn hull(
    connection: &mut SqliteConnection,
    from: Option<u64>,
    to: Option<u64>,
) -> Result<Option<(u64, u64)>, sqlx::Error> {
    let limit = |at: u64| i64::try_from(at).unwrap_or(i64::MAX);
    let from = from.map_or(i64::MIN, |from| limit(from) - MOMENT.cast_signed());
    let row = sqlx::query(include_str!("../../../sql/history/hull.sql"))
        .bind(from)
        .bind(to.map_or(i64::MAX, limit))
        .fetch_one(connection)
        .await?;
    let [first, last, behind]: [Option<i64>; 3] =
        [row.try_get(0)?, row.try_get(1)?, row.try_get(2)?];
    let (Some(first), Some(_)) = (first, last) else {
        return Ok(None);
    };
    let high = behind.map_or(i64::MAX, |behind| behind - 1);
    Ok(Some((first.cast_unsigned(), high.cast_unsigned())))
}

impl Query {
    fn viewer(&self) -> Viewer<'_> {
        match &self.of {
            Of::All => Viewer::System,
            Of::Accounts(ids) => Viewer::Accounts(ids),
            Of::User { account, .. } => Viewer::Account(account),
        }
    }

    /// The codes of what may be wanted.
    fn codes(&self) -> Vec<Code> {
        let (types, reasons) = (self.types.as_deref(), self.reasons.as_deref());
        let all = (0..=u8::MAX).map(Code);
        all.filter(|code| code.may_be(self.viewer(), types, reasons))
            .collect()
    }

    async fn way(
        &self,
        connection: &mut SqliteConnection,
        codes: &[Code],
    ) -> Result<Way, sqlx::Error> {
        let others = codes.iter().any(|code| code.kind().is_none());
        let only_others = codes.iter().all(|code| code.kind().is_none());
        Ok(match &self.of {
            Of::All | Of::Accounts(_) if only_others => Way::Walk(vec![NO_PHONE]),
            Of::All => Way::Scan(None),
            Of::Accounts(ids) => {
                let accounts = users::accounts(connection, ids).await?;
                let phones = users::phones_of(connection, &accounts, CHAINS).await?;
                match phones {
                    Some(phones) => {
                        let others = others.then_some(NO_PHONE);
                        Way::Walk(phones.into_iter().chain(others).collect())
                    }
                    None => Way::Scan(Some(accounts.into_iter().map(|it| it.trait_id).collect())),
                }
            }
            Of::User { account, username } => {
                Way::Walk(users::phones(connection, account, username.as_bytes()).await?)
            }
        })
    }

    /// Whether an event that was found is one of those that are asked for.
    #[must_use]
    pub fn is_for(&self, event: &Event) -> bool {
        let viewer = self.viewer();
        let Some(seen) = event.type_for(viewer) else {
            return false;
        };
        let reason = match &event.what {
            What::Registration(it) => it.seen_by(viewer).and_then(|seen| seen.kind.reason()),
            What::Source(_) | What::Directory | What::Burst(_) | What::Gap(_) => None,
        };
        let of = |list: &Option<Vec<Reason>>| {
            list.as_ref()
                .is_none_or(|list| reason.is_some_and(|reason| list.contains(&reason)))
        };
        self.from.is_none_or(|from| event.at >= from)
            && self.to.is_none_or(|to| event.at <= to)
            && self
                .types
                .as_ref()
                .is_none_or(|types| types.contains(&seen))
            && of(&self.reasons)
    }
}

impl Way {
    /// The cheapest way to what is between two places.
    fn in_range(self, low: u64, high: u64) -> Self {
        let length = high.saturating_sub(low);
        match self {
            Self::Walk(phones) if length < ((SHORT * phones.len()) as u64).min(SCANNED) => {
                Self::ReadThrough(phones)
            }
            way => way,
        }
    }
}

/// The numbers of events that may be wanted, along chains from the end of a range on, and where to go on; `None` where
/// the chains or the range end.
async fn walk(
    connection: &mut SqliteConnection,
    chains: &[i64],
    codes: &[Code],
    (low, high): (u64, u64),
    wanted: usize,
) -> Result<(Vec<u64>, Option<u64>), sqlx::Error> {
    let most = wanted.saturating_mul(2).clamp(WALKED, MOST_WALKED);
    // From the end of all chains nothing has to be passed over.
    let passed = if high < i64::MAX.cast_unsigned() {
        APART * chains.len()
    } else {
        0
    };
    let limit = most + passed;
    let rows = sqlx::query(include_str!("../../../sql/history/walk.sql"))
        .bind(json(chains.iter().map(|id| id.cast_unsigned())))
        .bind(high.cast_signed())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        // What an event replaces stands before it.
        .bind(low.saturating_sub(1).cast_signed())
        .fetch_all(connection)
        .await?;
    chosen(&rows, limit, codes, high, wanted)
}

/// As [`walk`], by reading every row of the range.
async fn read_through(
    connection: &mut SqliteConnection,
    phones: &[i64],
    codes: &[Code],
    (low, high): (u64, u64),
    wanted: usize,
) -> Result<(Vec<u64>, Option<u64>), sqlx::Error> {
    let limit = wanted.saturating_mul(2).clamp(WALKED, MOST_WALKED);
    let rows = sqlx::query(include_str!("../../../sql/history/read_through.sql"))
        // What an event replaces stands before it.
        .bind(low.saturating_sub(1).cast_signed())
        .bind(high.cast_signed())
        .bind(json(phones.iter().map(|id| id.cast_unsigned())))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    chosen(&rows, limit, codes, high, wanted)
}

/// The numbers that are wanted of rows, of which at most `limit` were asked for, the newest first; and where to go on.
fn chosen(
    rows: &[SqliteRow],
    limit: usize,
    codes: &[Code],
    high: u64,
    wanted: usize,
) -> Result<(Vec<u64>, Option<u64>), sqlx::Error> {
    let mut numbers = Vec::new();
    let mut lowest = None;
    for row in rows {
        let place = row.try_get::<i64, _>(0)?.cast_unsigned();
        let code = Code(u8::try_from(row.try_get::<i64, _>(1)?).unwrap_or(u8::MAX));
        lowest = Some(place);
        let number = seq_at(place);
        if place <= high
            && (code == Code::FORMER || codes.contains(&code))
            && numbers.last() != Some(&number)
        {
            numbers.push(number);
            if numbers.len() == wanted {
                break;
            }
        }
    }
    let is_end = rows.len() < limit && numbers.len() < wanted;
    // The other row of the same event may be in the chain as well.
    let next = lowest.map(|place| last_place(seq_at(place) - 1));
    Ok((numbers, next.filter(|_| !is_end)))
}

/// The numbers of events that may be wanted, from the end of a range on, and where to go on; `None` at its beginning.
async fn scan(
    connection: &mut SqliteConnection,
    accounts: Option<&[i64]>,
    codes: &[Code],
    (low, high): (u64, u64),
    wanted: usize,
) -> Result<(Vec<u64>, Option<u64>), sqlx::Error> {
    let newest: Option<i64> = sqlx::query_scalar("SELECT max(place) FROM event")
        .fetch_one(&mut *connection)
        .await?;
    let high = high.min(newest.unwrap_or_default().cast_unsigned());
    let from = low.max(high.saturating_sub(SCANNED - 1));
    let former = accounts.map(|_| Code::FORMER);
    let codes = codes.iter().chain(&former).map(|code| u64::from(code.0));
    let places: Vec<i64> = sqlx::query_scalar(include_str!("../../../sql/history/scan.sql"))
        .bind(from.cast_signed())
        .bind(high.cast_signed())
        .bind(json(codes))
        .bind(accounts.map(|ids| json(ids.iter().map(|id| id.cast_unsigned()))))
        .bind(i64::try_from(wanted).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    let is_cut = places.len() == wanted;
    let lowest = places.last().map(|place| seq_at(place.cast_unsigned()));
    let mut numbers: Vec<u64> = places
        .into_iter()
        .map(|place| seq_at(place.cast_unsigned()))
        .collect();
    numbers.dedup();
    let next = match lowest.filter(|_| is_cut) {
        Some(lowest) => last_place(lowest - 1),
        None => from.saturating_sub(1),
    };
    Ok((numbers, (next >= low && next > 0).then_some(next)))
}

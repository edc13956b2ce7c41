//! Questions to the fleet's database: what happened, on every node.
//!
//! Of one node events come in the order of its log; of several by their times, which are those of the nodes' clocks.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row as _};

use super::Error;
use super::event_record::decode;
use super::log::{Log, Told};
use super::reader::Fleet;
use super::record::Decoder;
use crate::event_log::{LogId, Of, Query};
use crate::registration::lower_shown;

const LOGS: &str = include_str!("../../sql/fleet/logs.sql");
const EVENTS: &str = include_str!("../../sql/fleet/events.sql");
const OLDEST: &str = "select min(at) from usrlocd.event";

/// The latest first.
const ORDER: &str = " order by at desc, log desc, seq desc, node desc limit ";

/// The place of an event among those of all nodes, the latest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    at: i64,
    log: i64,
    seq: i64,
    node: String,
}

/// Logs by the id of their node and their own.
pub(super) type Logs = HashMap<(String, u64), Arc<Log>>;

impl Place {
    /// That of this event.
    #[must_use]
    pub fn of(told: &Told) -> Self {
        Self {
            at: told.event.at.cast_signed(),
            log: told.log.id.0.cast_signed(),
            seq: told.event.seq.cast_signed(),
            node: told.log.node.to_string(),
        }
    }

    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let numbers = [self.at, self.log, self.seq].map(i64::to_be_bytes).concat();
        [&numbers, self.node.as_bytes()].concat()
    }

    /// The place that these bytes are.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (at, rest) = bytes.split_first_chunk()?;
        let (log, rest) = rest.split_first_chunk()?;
        let (seq, node) = rest.split_first_chunk()?;
        Some(Self {
            at: i64::from_be_bytes(*at),
            log: i64::from_be_bytes(*log),
            seq: i64::from_be_bytes(*seq),
            node: String::from_utf8(node.to_vec()).ok()?,
        })
    }
}

impl Fleet {
    /// The logs that the database has.
    pub(super) async fn logs(&self) -> Result<Logs, Error> {
        let rows = sqlx::query(LOGS).fetch_all(self.pool()).await?;
        let mut logs = Logs::new();
        for row in rows {
            let node: String = row.try_get(0)?;
            let number =
                |column: usize| Ok::<_, Error>(row.try_get::<i64, _>(column)?.cast_unsigned());
            let log = Log {
                node: Arc::from(node.as_str()),
                id: LogId(number(1)?),
                name: row.try_get::<String, _>(2)?.into(),
                newest: number(3)?,
                pruned: number(4)?,
            };
            logs.insert((node, log.id.0), Arc::new(log));
        }
        Ok(logs)
    }

    /// The events that `query` asks for (its `before` aside), of the nodes with these names where any are given, before this
    /// place; the latest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn events(
        &self,
        query: &Query,
        nodes: Option<&[String]>,
        before: Option<&Place>,
    ) -> Result<Vec<Told>, Error> {
        let logs = self.logs().await?;
        let ids = nodes.map(|names| {
            let named = logs
                .values()
                .filter(|log| names.iter().any(|name| **name == *log.name));
            named.map(|log| log.node.to_string()).collect::<Vec<_>>()
        });
        let mut before = before.cloned();
        let mut decoder = Decoder::default();
        let mut found = Vec::new();
        while found.len() < query.limit {
            let wanted = query.limit - found.len();
            let mut sql = select(query, ids.as_deref(), before.as_ref(), wanted);
            let rows = sql.build().fetch_all(self.pool()).await?;
            for row in &rows {
                let told = told(row, &logs, &mut decoder)?;
                before = Some(told.0);
                found.extend(told.1.filter(|told| query.is_for(&told.event)));
            }
            if rows.len() < wanted {
                break;
            }
        }
        Ok(found)
    }

    /// When the oldest event that is there was seen, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn oldest_event_at(&self) -> Result<Option<u64>, Error> {
        let row = sqlx::query(OLDEST).fetch_one(self.pool()).await?;
        Ok(row.try_get::<Option<i64>, _>(0)?.map(i64::cast_unsigned))
    }

    /// Deletes what is kept of the SIP users of an account whom a name means. Returns how many events that was. Who goes on
    /// from before is told that events are missing.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget_events(&self, account: &str, username: &str) -> Result<u64, Error> {
        let username = lower_shown(username.as_bytes());
        let mut transaction = self.pool().begin().await?;
        let note = sqlx::query(include_str!("../../sql/fleet/event_forgotten.sql"));
        let note = note.bind(&username).bind(account);
        note.execute(&mut *transaction).await?;
        let delete = sqlx::query(include_str!("../../sql/fleet/event_forget.sql"));
        let delete = delete.bind(&username).bind(account);
        let deleted = delete.execute(&mut *transaction).await?.rows_affected();
        transaction.commit().await?;
        Ok(deleted)
    }
}

/// The place of a row, and its event, if it can be read.
fn told(row: &PgRow, logs: &Logs, decoder: &mut Decoder) -> Result<(Place, Option<Told>), Error> {
    let place = Place {
        node: row.try_get(0)?,
        log: row.try_get(1)?,
        seq: row.try_get(2)?,
        at: row.try_get(3)?,
    };
    let Some(log) = logs.get(&(place.node.clone(), place.log.cast_unsigned())) else {
        return Ok((place, None));
    };
    let times = (place.seq.cast_unsigned(), place.at.cast_unsigned());
    let event = decode(decoder, times, &log.name, row.try_get(4)?);
    if event.is_err() {
        tracing::debug!(node = %log.name, seq = place.seq, "an event of the fleet cannot be read");
    }
    let told = event.ok().map(|event| Told {
        log: Arc::clone(log),
        event,
    });
    Ok((place, told))
}

/// The statement: a part for each index that has what may be wanted, each in order.
fn select(
    query: &Query,
    nodes: Option<&[String]>,
    before: Option<&Place>,
    limit: usize,
) -> QueryBuilder<Postgres> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut sql = QueryBuilder::new("select cast(node as text), log, seq, at, record from (");
    for (number, part) in Part::of(&query.of).iter().enumerate() {
        sql.push(if number == 0 { "(" } else { " union all (" });
        sql.push(EVENTS);
        part.push(&mut sql);
        if let Some(from) = query.from {
            sql.push(" and e.at >= ").push_bind(from.cast_signed());
        }
        if let Some(to) = query.to {
            let to = i64::try_from(to).unwrap_or(i64::MAX);
            sql.push(" and e.at <= ").push_bind(to);
        }
        // To a former owner it is of another type, and has another reason.
        if let Some(types) = &query.types {
            let names = types.iter().map(|one| one.as_str().to_owned());
            sql.push(" and (e.former is not null or e.type = any(");
            sql.push_bind(names.collect::<Vec<_>>()).push("))");
        }
        if let Some(reasons) = &query.reasons {
            let names = reasons.iter().map(|one| one.as_str().to_owned());
            sql.push(" and (e.former is not null or e.reason = any(");
            sql.push_bind(names.collect::<Vec<_>>()).push("))");
        }
        if let Some(nodes) = nodes {
            sql.push(" and e.node = any(");
            sql.push_bind(nodes.to_vec()).push("::uuid[])");
        }
        if let Some(before) = before {
            sql.push(" and (e.at, e.log, e.seq, e.node) < (")
                .push_bind(before.at);
            sql.push(", ").push_bind(before.log);
            sql.push(", ").push_bind(before.seq);
            sql.push(", ")
                .push_bind(before.node.clone())
                .push("::uuid)");
        }
        sql.push(ORDER).push_bind(limit).push(")");
    }
    sql.push(") found").push(ORDER).push_bind(limit);
    sql
}

/// Events that one index has in order.
enum Part<'a> {
    All,
    /// Of this account, or of one of these.
    Account(&'a [String]),
    /// That belonged to one of these accounts, and now to none of them.
    Former(&'a [String]),
    /// About nodes.
    Node,
    User(&'a str, &'a str),
}

impl<'a> Part<'a> {
    fn of(of: &'a Of) -> Vec<Self> {
        match of {
            Of::All => vec![Self::All],
            Of::Accounts(ids) => vec![Self::Account(ids), Self::Former(ids), Self::Node],
            Of::User { account, username } => vec![Self::User(account, username)],
        }
    }

    fn push(&self, sql: &mut QueryBuilder<Postgres>) {
        match self {
            Self::All => sql.push("true"),
            Self::Account([id]) => sql.push("e.account = ").push_bind(id.clone()),
            Self::Account(ids) => {
                sql.push("e.account = any(");
                sql.push_bind(ids.to_vec()).push(")")
            }
            Self::Former(ids) => {
                sql.push("e.former = any(").push_bind(ids.to_vec());
                sql.push(") and (e.account is null or not e.account = any(");
                sql.push_bind(ids.to_vec()).push("))")
            }
            Self::Node => sql.push("e.username is null and e.account is null"),
            Self::User(account, username) => {
                sql.push("e.username = ");
                sql.push_bind(lower_shown(username.as_bytes()));
                sql.push(" and (e.account = ")
                    .push_bind((*account).to_owned());
                sql.push(" or e.former = ").push_bind((*account).to_owned());
                sql.push(")")
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_what_it_was_written_from() {
        let place = Place {
            at: 1_764_514_800_000,
            log: -5,
            seq: 7,
            node: "01234567-0123-4123-8123-0123456789ab".to_owned(),
        };
        assert_eq!(Place::from_bytes(&place.to_bytes()), Some(place));
        assert_eq!(Place::from_bytes(b"short"), None);
    }
}

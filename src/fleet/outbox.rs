//! The events of this node that the fleet's database does not have yet: what the log has after the last one that is there.
//!
//! The log is the queue. Where it ends in the database is asked after each connect, so that nothing is sent that is there,
//! and nothing is left out that the log still has.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::connection::answered;
use super::node::Node;
use super::{Error, event_record};
use crate::clock::Clock;
use crate::event_log::{Cursor, EventLog, LogId, Missed};
use crate::events::{Event, Gap, GapCause, Happening, Kind, Type, What};
use crate::registration::{Registration, lower_shown, shown};

/// The events of one transaction.
const EVENTS: usize = 500;

/// How many events are deleted at a time for their age.
const PRUNED: i64 = 500;

/// How often it is looked for those.
const PRUNE: Duration = Duration::from_secs(20);

const NEWEST: &str = "SELECT newest FROM usrlocd.log WHERE node = $1::uuid AND log = $2";
const NOTE_PRUNED: &str =
    "UPDATE usrlocd.log SET pruned = $3 WHERE node = $1::uuid AND log = $2 AND pruned < $3";

/// What is left to be sent.
#[derive(Debug)]
pub(super) struct Outbox {
    log: Arc<EventLog>,
    clock: Arc<dyn Clock>,
    /// How long the database keeps events.
    keep: Duration,
    servers: Vec<i64>,
    /// After the last event that the database has, once that is known.
    cursor: Option<Cursor>,
    /// When events that are too old are looked for next.
    prune_at: Duration,
}

/// Events that one transaction writes.
#[derive(Debug)]
pub(super) struct Batch {
    log: LogId,
    /// The number of the last event with which the database has all up to it that it is to have.
    newest: u64,
    events: Vec<Arc<Event>>,
    /// After these events; `None` where that is to be asked again.
    cursor: Option<Cursor>,
}

/// How to begin.
enum Begin {
    At(Cursor),
    With(Option<Batch>),
}

impl Batch {
    /// How many events it has.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }
}

impl Outbox {
    /// What `log` has and the database has not; events older than `keep` are not sent, nor are those about rows of other
    /// Kamailios than `servers`, where any are named.
    pub(super) fn new(
        log: Arc<EventLog>,
        clock: Arc<dyn Clock>,
        keep: Duration,
        servers: Vec<i64>,
    ) -> Self {
        Self {
            log,
            clock,
            keep,
            servers,
            cursor: None,
            prune_at: Duration::ZERO,
        }
    }

    /// What the database has is to be asked.
    pub(super) fn forget(&mut self) {
        self.cursor = None;
    }

    /// How many numbers of events the database does not have, as far as known.
    pub(super) fn waiting(&self) -> u64 {
        let newest = self.log.newest();
        let sent = self.cursor.map(|cursor| cursor.seq());
        sent.map_or(0, |sent| newest.saturating_sub(sent))
    }

    /// Whether there may be something to send.
    pub(super) fn has_some(&self) -> bool {
        self.log.is_kept() && (self.cursor.is_none() || self.waiting() > 0)
    }

    /// Waits until there is.
    pub(super) async fn news(&self) {
        match &self.cursor {
            Some(cursor) => self.log.news(cursor).await,
            // It is asked with the next beat.
            None => std::future::pending().await,
        }
    }

    /// The next events, in order.
    pub(super) async fn next(
        &mut self,
        connection: &mut PgConnection,
        node: &Node,
    ) -> Result<Option<Batch>, Error> {
        // What is not on the disk may be taken back by a crash.
        if !self.log.is_kept() {
            self.cursor = None;
            return Ok(None);
        }
        let id = self.log.id();
        let mut cursor = match self.cursor.filter(|cursor| cursor.log() == id) {
            Some(cursor) => cursor,
            None => match self.begin(connection, node, id).await? {
                Begin::At(cursor) => cursor,
                Begin::With(batch) => return Ok(batch),
            },
        };
        self.cursor = Some(cursor);
        let before = cursor.seq();
        match self.log.read(&mut cursor, EVENTS).await {
            Ok(events) if !self.log.is_kept() || events.is_empty() => Ok(None),
            Ok(events) => {
                let oldest = self.now().saturating_sub(millis(self.keep));
                let events = events.iter().map(|event| event.shared());
                let events = events.filter(|it| it.seq != 0 && it.at >= oldest && self.is_ours(it));
                Ok(Some(Batch {
                    log: cursor.log(),
                    newest: cursor.seq(),
                    events: events.collect(),
                    cursor: Some(cursor),
                }))
            }
            Err(Missed::TooOld) => Ok(self.missed(id, before)),
            Err(Missed::OtherLog) => {
                self.cursor = None;
                Ok(None)
            }
        }
    }

    /// After the last event that the database has of this log; or what is to be written first: a gap where the log does not
    /// have what follows, and the log itself where the database does not know it.
    async fn begin(
        &self,
        connection: &mut PgConnection,
        node: &Node,
        id: LogId,
    ) -> Result<Begin, Error> {
        let asking = sqlx::query(NEWEST).bind(&node.id).bind(number(id.0));
        let found = answered(async { Ok(asking.fetch_optional(connection).await?) }).await?;
        let is_new = found.is_none();
        let sent = match found {
            Some(row) => row.try_get::<i64, _>(0)?.cast_unsigned(),
            None => self.log.oldest().saturating_sub(1),
        };
        // After a power cut the log may lack what was sent, and its numbers are given again.
        let sent = sent.min(self.log.newest());
        Ok(match self.log.after(id, sent) {
            // Who follows the fleet is to know the log before its first event.
            Ok(cursor) if is_new => Begin::With(Some(Batch {
                log: id,
                newest: sent,
                events: Vec::new(),
                cursor: Some(cursor),
            })),
            Ok(cursor) => Begin::At(cursor),
            Err(Missed::TooOld) => Begin::With(self.missed(id, sent)),
            Err(Missed::OtherLog) => Begin::With(None),
        })
    }

    /// Says that events after the number `sent` are missing.
    fn missed(&self, log: LogId, sent: u64) -> Option<Batch> {
        let seq = self.log.oldest().saturating_sub(1);
        tracing::warn!(
            from = sent + 1,
            to = seq,
            "the fleet's database lacks events of this node that its own history no longer has"
        );
        let gap = Event {
            seq,
            at: self.now(),
            commit: seq,
            what: What::Gap(Gap {
                from: sent,
                cause: GapCause::TooOld,
            }),
        };
        (seq > sent).then(|| Batch {
            log,
            newest: seq,
            events: vec![Arc::new(gap)],
            cursor: None,
        })
    }

    /// Whether it is about what this node publishes.
    fn is_ours(&self, event: &Event) -> bool {
        let What::Registration(happening) = &event.what else {
            return true;
        };
        let is_ours = |one: &Registration| {
            let id = one.binding.server_id.map_or(0, |id| id.get());
            self.servers.is_empty() || self.servers.contains(&id)
        };
        is_ours(&happening.registration) || happening.former.as_deref().is_some_and(is_ours)
    }

    /// The batch is in the database.
    pub(super) fn sent(&mut self, batch: &Batch) {
        self.cursor = batch.cursor;
    }

    /// Deletes some events that are too old, now and then.
    pub(super) async fn prune(
        &mut self,
        connection: &mut PgConnection,
        node: &Node,
    ) -> Result<(), Error> {
        let now = self.clock.monotonic();
        if now < self.prune_at {
            return Ok(());
        }
        let keep = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        let deleted = answered(prune(connection, &node.id, keep)).await?;
        if deleted < PRUNED {
            self.prune_at = now + PRUNE;
        }
        Ok(())
    }

    fn now(&self) -> u64 {
        millis(self.clock.unix())
    }
}

/// Deletes some events older than `keep` (milliseconds). Returns how many.
async fn prune(connection: &mut PgConnection, node: &str, keep: i64) -> Result<i64, Error> {
    let old = sqlx::query(include_str!("../../sql/fleet/event_old.sql"));
    let old = old.bind(node).bind(keep).bind(PRUNED);
    let (mut nodes, mut logs, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for row in old.fetch_all(&mut *connection).await? {
        nodes.push(row.try_get::<String, _>(0)?);
        logs.push(row.try_get::<i64, _>(1)?);
        numbers.push(row.try_get::<i64, _>(2)?);
    }
    let mut last = std::collections::BTreeMap::new();
    for ((node, log), number) in nodes.iter().zip(&logs).zip(&numbers) {
        let newest = last.entry((node, log)).or_insert(*number);
        *newest = (*newest).max(*number);
    }
    // First: a reader must not take what is being deleted for what never was.
    for ((node, log), newest) in last {
        let noting = sqlx::query(NOTE_PRUNED);
        let noting = noting.bind(node).bind(log).bind(newest);
        noting.execute(&mut *connection).await?;
    }
    let count = i64::try_from(numbers.len()).unwrap_or(i64::MAX);
    if count > 0 {
        let delete = sqlx::query(include_str!("../../sql/fleet/event_prune.sql"));
        let delete = delete.bind(nodes).bind(logs).bind(numbers);
        delete.execute(&mut *connection).await?;
    }
    if count < PRUNED {
        let delete = sqlx::query(include_str!("../../sql/fleet/log_prune.sql"));
        delete.bind(keep).execute(connection).await?;
    }
    Ok(count)
}

/// Writes a batch; part of a transaction of its node.
pub(super) async fn write(
    connection: &mut PgConnection,
    node: &Node,
    batch: &Batch,
) -> Result<(), Error> {
    let put = sqlx::query(include_str!("../../sql/fleet/log_put.sql"))
        .bind(&node.id)
        .bind(number(batch.log.0))
        .bind(&node.name)
        .bind(number(batch.newest));
    put.execute(&mut *connection).await?;
    if batch.events.is_empty() {
        return Ok(());
    }
    let events = &batch.events;
    let numbers = |of: fn(&Event) -> u64| -> Vec<i64> {
        events.iter().map(|event| number(of(event))).collect()
    };
    let texts = |of: fn(&Event) -> Option<String>| -> Vec<Option<String>> {
        events.iter().map(|event| of(event)).collect()
    };
    let records = events.iter().map(|event| event_record::encode(event));
    let put = sqlx::query(include_str!("../../sql/fleet/event_put.sql"))
        .bind(&node.id)
        .bind(number(batch.log.0))
        .bind(numbers(|event| event.seq))
        .bind(numbers(|event| event.at))
        .bind(texts(|event| Some(type_of(event).as_str().to_owned())))
        .bind(texts(reason))
        .bind(texts(account))
        .bind(texts(former))
        .bind(texts(username))
        .bind(records.collect::<Vec<_>>());
    Ok(put.execute(connection).await.map(drop)?)
}

fn type_of(event: &Event) -> Type {
    match &event.what {
        What::Registration(happening) => happening.kind.type_of(),
        What::Source(_) => Type::Source,
        What::Directory => Type::Directory,
        What::Burst(_) => Type::Burst,
        What::Gap(_) => Type::Gap,
    }
}

fn happening(event: &Event) -> Option<&Happening> {
    match &event.what {
        What::Registration(happening) => Some(happening),
        What::Source(_) | What::Directory | What::Burst(_) | What::Gap(_) => None,
    }
}

fn reason(event: &Event) -> Option<String> {
    match happening(event)?.kind {
        Kind::Terminated(reason) => Some(reason.as_str().to_owned()),
        _ => None,
    }
}

fn account(event: &Event) -> Option<String> {
    let account = match &event.what {
        What::Registration(happening) => happening.registration.account_id.as_deref(),
        What::Burst(burst) => burst.account.as_deref(),
        What::Source(_) | What::Directory | What::Gap(_) => None,
    };
    account.map(|account| shown(account.as_bytes()))
}

fn former(event: &Event) -> Option<String> {
    let happening = happening(event).filter(|it| it.is_new_owner())?;
    let account = happening.former.as_ref()?.account_id.as_deref()?;
    Some(shown(account.as_bytes()))
}

fn username(event: &Event) -> Option<String> {
    let binding = &happening(event)?.registration.binding;
    Some(lower_shown(&binding.user()))
}

/// As the database has it: all 64 bits.
pub(super) fn number(number: u64) -> i64 {
    number.cast_signed()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

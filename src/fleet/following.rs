//! The events of all nodes as they come, for those who follow them: one look at the database a second, for all of them.
//!
//! Of each log the events come in order and without a hole, since only its node writes it, in transactions one after the
//! other. Who has not read yet what is in memory no more reads it from the database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Row as _;
use tokio::time::Instant;

use super::Error;
use super::cursor::Cursor;
use super::event_record::decode;
use super::log::{Log, Told};
use super::reader::Fleet;
use super::record::Decoder;
use super::tail::{Item, Missed, Next, Point};
use crate::event_log::Logged;

const AFTER: &str = include_str!("../../sql/fleet/events_after.sql");

/// How often the database is looked at, at most.
const PAUSE: Duration = Duration::from_secs(1);

/// After so long without a look, because nobody followed, what is in memory is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// How many events are read at a time, of all logs together; of each at least a share.
const EVENTS: usize = 4000;
const SHARE: usize = 100;

impl Fleet {
    /// The end of all logs now.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn end(&self) -> Result<Point, Error> {
        let mut looked = self.tail().looked.lock().await;
        self.look(&mut looked).await?;
        let shown = self.tail().shown();
        Ok(Point {
            place: shown.end,
            cursor: shown.cursor.clone(),
        })
    }

    /// The oldest cursor from which to go on.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn beginning(&self) -> Result<Cursor, Error> {
        let mut cursor = Cursor::default();
        for log in self.logs().await?.values() {
            cursor.set(log, log.pruned);
        }
        Ok(cursor)
    }

    /// What follows in memory; `None` where it is not there any more, and is to be [read](Self::between).
    #[must_use]
    pub fn follow(&self, point: &mut Point, limit: usize) -> Option<Vec<Next>> {
        let shown = self.tail().shown();
        let first = shown.end - shown.items.len() as u64;
        let skip = usize::try_from(point.place.checked_sub(first)?).ok()?;
        let found: Vec<_> = shown.items.iter().skip(skip).take(limit).cloned().collect();
        drop(shown);
        point.place += found.len() as u64;
        for next in &found {
            match next {
                Next::Event(item) => point.cursor.set(&item.log, item.logged.event().seq),
                Next::Missed(cursor) => point.cursor = (**cursor).clone(),
            }
        }
        Some(found)
    }

    /// Waits until there is something after this point.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn news(&self, point: &Point) -> Result<(), Error> {
        while !self.tail().shown().has_after(point) {
            let before = *self.tail().looked.lock().await;
            if let Some(at) = before {
                tokio::time::sleep_until(at + PAUSE).await;
            }
            let mut looked = self.tail().looked.lock().await;
            // Otherwise another follower has looked.
            if *looked == before {
                self.look(&mut looked).await?;
            }
        }
        Ok(())
    }

    /// Whether somebody can go on from `from`, to come to `to`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn can_go_on(&self, from: &Cursor, to: &Cursor) -> Result<Result<(), Missed>, Error> {
        for log in self.logs().await?.values() {
            let Some(end) = to.get(log) else { continue };
            match from.get(log) {
                Some(seq) if seq <= end && seq < log.pruned => return Ok(Err(Missed::TooOld)),
                Some(seq) if seq <= end => {}
                Some(_) | None => return Ok(Err(Missed::OtherLog)),
            }
        }
        Ok(Ok(()))
    }

    /// Some of what is between two cursors, the first of which moves on; none when it has come to the other.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn between(&self, from: &mut Cursor, to: &Cursor) -> Result<Vec<Arc<Item>>, Error> {
        let logs = self.logs().await?;
        let wanted = logs.values().filter_map(|log| {
            let (after, newest) = (from.get(log)?, to.get(log)?);
            (after < newest).then(|| (Arc::clone(log), after, newest))
        });
        let wanted: Vec<_> = wanted.collect();
        self.read(&wanted, from).await
    }

    /// Looks what is new.
    async fn look(&self, looked: &mut Option<Instant>) -> Result<(), Error> {
        let logs = self.logs().await?;
        let is_followed = looked.is_some_and(|at| at.elapsed() < FORGOTTEN);
        let mut cursor = self.tail().shown().cursor.clone();
        let mut wanted = Vec::new();
        let mut is_missed = false;
        for log in logs.values() {
            match cursor.get(log).filter(|_| is_followed) {
                Some(after) if after < log.newest => {
                    wanted.push((Arc::clone(log), after, log.newest));
                }
                Some(after) if after == log.newest => {}
                Some(_) | None => {
                    is_missed = true;
                    cursor.set(log, log.newest);
                }
            }
        }
        // Before the events, whose cursors have that log too.
        let missed = is_missed.then(|| Next::Missed(Arc::new(cursor.clone())));
        let items = self.read(&wanted, &mut cursor).await?;
        let mut shown = self.tail().shown();
        if !is_followed {
            shown.items.clear();
            // Those who were there read on from the database.
            shown.end += 1;
        } else if let Some(missed) = missed {
            shown.push(missed);
        }
        for item in items {
            shown.push(Next::Event(item));
        }
        shown.cursor = cursor;
        drop(shown);
        *looked = Some(Instant::now());
        Ok(())
    }

    /// Reads events of these logs, each after one number up to another; the cursor moves on with them.
    async fn read(
        &self,
        wanted: &[(Arc<Log>, u64, u64)],
        cursor: &mut Cursor,
    ) -> Result<Vec<Arc<Item>>, Error> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let limit = (EVENTS / wanted.len()).max(SHARE);
        let numbers = |of: fn(&(Arc<Log>, u64, u64)) -> u64| -> Vec<i64> {
            wanted.iter().map(|one| of(one).cast_signed()).collect()
        };
        let nodes = wanted.iter().map(|(log, ..)| log.node.to_string());
        let rows = sqlx::query(AFTER)
            .bind(nodes.collect::<Vec<_>>())
            .bind(numbers(|(log, ..)| log.id.0))
            .bind(numbers(|(_, after, _)| *after))
            .bind(numbers(|(.., newest)| *newest))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(self.pool())
            .await?;
        let mut decoder = Decoder::default();
        let by_id = wanted.iter().map(|(log, ..)| ((&*log.node, log.id.0), log));
        let by_id: HashMap<(&str, u64), &Arc<Log>> = by_id.collect();
        let mut found: HashMap<(&str, u64), Vec<Told>> = HashMap::new();
        let mut counts: HashMap<(&str, u64), (usize, u64)> = HashMap::new();
        for row in &rows {
            let node: &str = row.try_get(0)?;
            let number =
                |column: usize| Ok::<_, Error>(row.try_get::<i64, _>(column)?.cast_unsigned());
            let (id, seq, at) = (number(1)?, number(2)?, number(3)?);
            let Some((key, log)) = by_id.get_key_value(&(node, id)) else {
                continue;
            };
            let (count, last) = counts.entry(*key).or_default();
            (*count, *last) = (*count + 1, seq.max(*last));
            if let Ok(event) = decode(&mut decoder, (seq, at), &log.name, row.try_get(4)?) {
                let log = Arc::clone(log);
                found.entry(*key).or_default().push(Told { log, event });
            }
        }
        let items = in_order(found.into_values().collect(), cursor);
        for (log, _, newest) in wanted {
            // Not all numbers have an event.
            let read = counts.get(&(&*log.node, log.id.0));
            let end = read.filter(|(count, _)| *count == limit);
            cursor.set(log, end.map_or(*newest, |(_, last)| *last));
        }
        Ok(items)
    }
}

/// Those of several logs, by their times; those of one in its order.
fn in_order(mut logs: Vec<Vec<Told>>, cursor: &mut Cursor) -> Vec<Arc<Item>> {
    let mut all = Vec::new();
    for log in &mut logs {
        log.sort_by_key(|told| told.event.seq);
        let mut latest = 0;
        for told in log.drain(..) {
            // Where a clock was set back, time stands still.
            latest = told.event.at.max(latest);
            all.push((latest, told));
        }
    }
    all.sort_by(|(at, one), (other_at, other)| {
        let of = |told: &Told| (Arc::clone(&told.log.node), told.log.id.0);
        at.cmp(other_at).then_with(|| of(one).cmp(&of(other)))
    });
    let item = |(_, Told { log, event }): (u64, Told)| {
        cursor.set(&log, event.seq);
        Arc::new(Item {
            log,
            logged: Logged::new(Arc::new(event)),
            id: cursor.id(),
        })
    };
    all.into_iter().map(item).collect()
}

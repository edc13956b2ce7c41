//! Comparing what a server has with what has been reported.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Follower;
use crate::source::completeness::Moment;
use crate::source::sql::error::Error;
use crate::source::sql::pace::Took;
use crate::source::sql::standby;
use crate::source::sql::table::By;
use crate::source::usrloc::{Holds, Reading};
use crate::source::{Health, Trouble};
use crate::sqlite_file::Balance;

/// The rows of a page of ids and versions.
const KEYS: usize = 10_000;

/// How long after a comparison that missed much the next one decides.
const SECOND_LOOK: Duration = Duration::from_secs(1);

impl Follower {
    /// Compares every row with what has been reported.
    pub(super) async fn compare(&mut self) -> Result<(), Error> {
        let started = self.now();
        let as_of = self.has_everything_as_of().await?;
        self.guard.go_on();
        let (mut gone, mut took) = (Vec::new(), Took::default());
        for table in 0..self.tables.len() {
            let before = self.tables[table].known.len();
            let missing = if before == 0 {
                // This is not what a comparison costs: it comes once.
                self.load(table).await?;
                self.busy();
                Vec::new()
            } else {
                self.compare_table(table, By::Version, &mut took).await?
            };
            let new = self.tables[table].known.len() - before;
            gone.push((missing, new));
        }
        let now = self.now();
        let is_final = self.decide(now, &gone);
        self.counts.sweeps += 1;
        self.pace.compared(now, took);
        let cycle = self.pace.next_comparison().saturating_sub(started);
        let cycle = u64::try_from(cycle.as_millis()).unwrap_or(u64::MAX);
        self.parts.cycle.store(cycle, Ordering::Relaxed);
        let misses_most = is_final && self.usrloc.misses_most();
        if misses_most {
            self.guard.hold_until_confirmed(now);
        }
        let read = is_final && !misses_most;
        self.health = Health::CatchingUp;
        if read {
            self.reading = Reading::Complete;
            self.health = self.understood();
        } else {
            self.pace.compare_at(now + SECOND_LOOK);
        }
        let is_current = self.health == Health::Live;
        self.post(is_current.then_some(Moment { now, unix: as_of }));
        self.count(took.keys + took.changed);
        Ok(())
    }

    /// The moment (Unix) as of which the server has everything: now, unless it is a standby that is behind.
    async fn has_everything_as_of(&mut self) -> Result<Duration, Error> {
        let now = self.parts.clock.unix();
        if !self.is_standby {
            return Ok(now);
        }
        let connection = self.connection.as_mut().ok_or(Error::Failed)?;
        let behind = standby::behind(connection).await?;
        // What it had once, it has.
        self.replayed = self.replayed.max(now.saturating_sub(behind)).min(now);
        Ok(self.replayed)
    }

    /// Reports the rows that are gone, unless they are too many to be believed at the first look. Whether it is decided.
    fn decide(&mut self, now: Duration, gone: &[(Vec<i64>, usize)]) -> bool {
        for (place, (missing, new)) in gone.iter().enumerate() {
            let rows = self.tables[place].known.len() - new;
            let balance = Balance {
                gone: missing.len(),
                new: *new,
            };
            self.guard.weigh(now, place, rows, balance);
        }
        for (place, (missing, _)) in gone.iter().enumerate() {
            for id in missing {
                if self.guard.reports_removals() {
                    self.tables[place].known.remove(id);
                    self.usrloc.delete(place, *id);
                    self.counts.deletes += 1;
                } else {
                    self.guard.count_missing();
                }
            }
        }
        self.guard.end_pass(now)
    }

    /// How well the tables can be read, now that all of their rows have been.
    fn understood(&mut self) -> Health {
        let Some(why) = self.usrloc.not_understood() else {
            return Health::Live;
        };
        self.reading = Reading::Interrupted;
        Health::Absent(Trouble {
            kind: "not_understood",
            message: format!(
                "no row of {} can be read, for instance the one with id {}: {}",
                why.table, why.row, why.why
            ),
        })
    }

    /// Compares a table with what is known of it. Returns the ids of rows that are gone.
    async fn compare_table(
        &mut self,
        table: usize,
        by: By,
        took: &mut Took,
    ) -> Result<Vec<i64>, Error> {
        let (mut gone, mut after) = (Vec::new(), None);
        self.busy();
        loop {
            let (of, connection) = self.parts_of(table)?;
            let page = of.compare(connection, by, after, KEYS).await?;
            took.rows += page.rows;
            took.keys += self.busy();
            self.read(table, &page.changed).await?;
            took.changed += self.busy();
            gone.extend(page.gone);
            after = page.last;
            if after.is_none() {
                return Ok(gone);
            }
            if self.pace.is_glance_due(self.now()) {
                self.glance().await?;
            }
        }
    }

    /// Reads the ids of all bindings, to find those that are new or gone. It proves nothing about the others.
    pub(super) async fn read_ids(&mut self) -> Result<(), Error> {
        let (mut gone, mut took) = (Vec::new(), Took::default());
        for table in 0..self.tables.len() {
            let before = self.tables[table].known.len();
            let missing = match self.tables[table].holds {
                Holds::Bindings => self.compare_table(table, By::Id, &mut took).await?,
                Holds::Attributes => Vec::new(),
            };
            gone.push((missing, self.tables[table].known.len() - before));
        }
        let now = self.now();
        let is_final = self.decide(now, &gone);
        self.pace.read_ids(now, took.rows, took.keys + took.changed);
        if !is_final {
            self.pace.compare_at(now + SECOND_LOOK);
        }
        self.post(None);
        Ok(())
    }
}

//! Follows the registry's feed, and writes what differs from the database.

use std::ops::Range;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use tokio_util::sync::CancellationToken;

use super::super::Error;
use super::super::node::Report;
use super::super::write::{self, Changes};
use super::events::news as events_news;
use super::{BEAT, Publisher, Status};
use crate::registry::{Event, Scope};

/// The pause between two transactions: many changes cost little more than one.
const PAUSE: Duration = Duration::from_millis(250);

/// How long entries of the feed are gathered: of a phone that registers, row and attributes come one after the other.
const GATHER: Duration = Duration::from_millis(50);

/// How many entries of the feed are read at a time: the registry's writer waits for no more.
const ENTRIES: usize = 1024;

/// The rows of one transaction.
const ROWS: usize = 500;

/// Every block is looked at once in so many beats: what refreshes move is a minute old at most.
const BEATS: u32 = 30;

impl Publisher {
    /// Writes what becomes of the lists, and beats.
    pub(super) async fn follow(
        &mut self,
        connection: &mut PgConnection,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let mut beat_at = self.clock.monotonic();
        loop {
            self.gather();
            let now = self.clock.monotonic();
            let is_beat = now >= beat_at;
            if is_beat || self.slots.waiting() > 0 || self.has_events() {
                let mut changes = self.changes();
                if is_beat {
                    beat_at = now + BEAT;
                    self.add_due_blocks(&mut changes);
                }
                self.add_events(connection, &mut changes).await?;
                self.commit(connection, changes).await?;
                self.published();
                if is_beat {
                    self.tidy(connection).await?;
                }
            }
            if stop.is_cancelled() {
                // What is waiting would not be written by anyone.
                while self.slots.waiting() > 0 {
                    let changes = self.changes();
                    self.commit(connection, changes).await?;
                }
                return Ok(());
            }
            if self.slots.waiting() < ROWS {
                self.wait(beat_at, stop).await;
            }
        }
    }

    /// Waits until there is something to be written, but not less than the pause since the last time.
    async fn wait(&mut self, beat_at: Duration, stop: &CancellationToken) {
        let now = self.clock.monotonic();
        let pause = (self.committed_at + PAUSE).saturating_sub(now);
        let news = async {
            tokio::time::sleep(pause).await;
            tokio::select! {
                () = self.feed.news() => {}
                () = events_news(self.outbox.as_ref()) => {}
            }
            tokio::time::sleep(GATHER).await;
        };
        tokio::select! {
            () = news => {}
            () = tokio::time::sleep(beat_at.saturating_sub(now)) => {}
            () = stop.cancelled() => {}
        }
    }

    /// Takes over what the feed has.
    pub(super) fn gather(&mut self) {
        loop {
            match self.feed.read(ENTRIES) {
                Ok(entries) if entries.is_empty() => break,
                Ok(entries) => {
                    for entry in &entries {
                        match &entry.event {
                            Event::Row(effect) => {
                                let listed = effect.after(Scope::System);
                                self.slots.follow(effect.key(), listed);
                            }
                            Event::Directory(_) => return self.list(),
                        }
                    }
                }
                Err(_) => self.list(),
            }
        }
        self.metrics.fleet.waiting(self.slots.waiting());
    }

    /// Takes over the whole list.
    pub(super) fn list(&mut self) {
        let listing = self.feed.list(Scope::System);
        self.slots.list(&listing.registrations);
        self.metrics.fleet.waiting(self.slots.waiting());
    }

    /// The changes of the next transaction.
    pub(super) fn changes(&mut self) -> Changes {
        self.node.sequence += 1;
        Changes {
            rows: self.slots.take(self.node.sequence, ROWS),
            blocks: Vec::new(),
            events: None,
        }
    }

    /// Adds the blocks whose turn it is: all of them within a minute.
    fn add_due_blocks(&mut self, changes: &mut Changes) {
        let blocks = self.slots.blocks();
        for _ in 0..blocks.div_ceil(BEATS) {
            let block = if self.next_block < blocks {
                self.next_block
            } else {
                0
            };
            self.next_block = block + 1;
            self.add_blocks(changes, block..block + 1);
        }
    }

    pub(super) fn add_blocks(&mut self, changes: &mut Changes, blocks: Range<u32>) {
        let now = self.clock.monotonic();
        let number = (self.node.sequence, self.clock.unix_seconds());
        for block in blocks {
            if let Some(write) = self.ledger.write(block, &mut self.slots, number, now) {
                changes.blocks.push((block, write));
            }
        }
    }

    pub(super) async fn commit(
        &mut self,
        connection: &mut PgConnection,
        changes: Changes,
    ) -> Result<(), Error> {
        let began = self.clock.monotonic();
        let report = Report {
            rows: self.slots.len(),
            source: self.feed.registry().source(),
            clock_offset_ms: self.clock_offset_ms,
        };
        let rows = changes.rows.rows.len() + changes.rows.gone.len();
        let before = self.clock.unix();
        let theirs = write::commit(connection, &mut self.node, &report, &changes).await?;
        if rows == 0 {
            // Their clock was read at some moment between: in the middle, as a rule.
            let ours = (before + self.clock.unix()) / 2;
            let ours = i64::try_from(ours.as_millis()).unwrap_or(i64::MAX);
            self.clock_offset_ms = ours.saturating_sub(theirs);
            self.metrics.fleet.clock_offset(self.clock_offset_ms);
        }
        self.sent(changes.events.as_ref());
        self.committed_at = self.clock.monotonic();
        let took = self.committed_at.saturating_sub(began);
        self.metrics.fleet.committed(rows, took);
        self.metrics.fleet.waiting(self.slots.waiting());
        Ok(())
    }

    pub(super) fn published(&mut self) {
        self.metrics.fleet.publishing(true);
        if self.slots.waiting() == 0 {
            self.through = self.feed.read_to();
        }
        let new = Status::Publishing {
            epoch: self.node.epoch,
            through: self.through,
            clock_offset_ms: self.clock_offset_ms,
        };
        self.status.send_if_modified(|status| {
            let is_new = *status != new;
            *status = new;
            is_new
        });
    }
}

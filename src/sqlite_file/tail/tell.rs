//! Telling the differences between leaves and what is known: to the sink, and to the counters.

use std::time::Duration;

use crate::sqlite_file::table::{self, Row};
use crate::sqlite_file::visit::Difference;
use crate::sqlite_file::walker::Span;

use super::Sink;
use super::engine::{Cause, Engine, Followed};
use super::hints::RECHECK;

/// Rows that wait to be looked at again, at most; the audit has the others.
const RECHECKS: usize = 1 << 18;

impl Engine {
    /// Tells how the leaves of the batch differ from what is known of table `index`.
    pub(super) fn tell_batch(
        &mut self,
        now: Duration,
        index: usize,
        cause: Cause,
        sink: &mut dyn Sink,
    ) {
        self.note_places(index);
        let proves = cause == Cause::Audit && self.is_settled();
        let batch = std::mem::take(&mut self.batch);
        if let Some(followed) = self.tables.get(index) {
            let leaves = batch.leaves.iter();
            let found: Vec<_> = leaves
                .map(|leaf| (leaf.span, batch.differences(leaf, &followed.known)))
                .collect();
            self.weigh(now, index, &found);
            for (span, differences) in found {
                if cause != Cause::Audit {
                    self.tables[index].pending.remove(span);
                }
                self.tell(now, index, differences, cause, proves, sink);
            }
        }
        self.batch = batch;
    }

    /// Has the absence of rows confirmed first, where much of table `index` is gone at once.
    fn weigh(&mut self, now: Duration, index: usize, found: &[(Span, Vec<Difference<'_>>)]) {
        let Followed { known, losses, .. } = &mut self.tables[index];
        if self.sweep.doubts() {
            losses.forget();
            return;
        }
        let (mut gone, mut new) = (0, 0);
        for difference in found.iter().flat_map(|it| &it.1) {
            match difference {
                Difference::Gone(_) => gone += 1,
                Difference::Present(rowid, ..) => new += usize::from(!known.contains(*rowid)),
            }
        }
        if gone > 0 && losses.are_much(now, known.len(), gone, new) {
            self.sweep.doubt();
        }
    }

    /// Tells the differences of one leaf. Where the pass `proves` that hints are complete, they are misses.
    fn tell(
        &mut self,
        now: Duration,
        index: usize,
        differences: Vec<Difference<'_>>,
        cause: Cause,
        proves: bool,
        sink: &mut dyn Sink,
    ) {
        let Followed {
            table: Some(table),
            known,
            hints,
            ..
        } = &mut self.tables[index]
        else {
            return;
        };
        let believed = self.sweep.believes();
        let is_blind = hints.miss_some();
        let recheck = cause == Cause::Hint && is_blind && self.rules.recheck;
        for difference in differences {
            match difference {
                Difference::Gone(rowid) if believed => {
                    known.remove(rowid);
                    self.counters.deletes += 1;
                    self.counters.audit_misses += u64::from(proves);
                    sink.delete(index, rowid);
                }
                Difference::Gone(_) => self.sweep.missed_row(),
                Difference::Present(rowid, hash, payload) => {
                    // What no index shows can only be found so.
                    let blind = is_blind && known.contains(rowid);
                    self.counters.blind_spots += u64::from(proves && blind);
                    self.counters.audit_misses += u64::from(proves && !blind);
                    known.insert(rowid, hash);
                    if recheck && self.rechecks.len() < RECHECKS {
                        self.rechecks.push_back((now + RECHECK, index, rowid));
                    }
                    match table::values(payload) {
                        Ok(values) => {
                            self.counters.upserts += 1;
                            sink.upsert(index, Row::new(table, rowid, &values));
                        }
                        Err(_) => self.counters.malformed_rows += 1,
                    }
                }
            }
        }
    }
}

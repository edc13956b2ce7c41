//! Where a pass over every row of every table is, and when it goes on. Pure.
//!
//! A pass resyncs when changes may have gone by unread: at the beginning, after a gap, when the database is another.
//! Otherwise it audits, slowly: it proves that every hint was taken. While nothing is committed an audit that has gone
//! round should have nothing more to find: it rests, and now and then goes round once more, very slowly.

use std::time::Duration;

use crate::sqlite_file::source::Committed;
use crate::sqlite_file::walker::Span;

/// Leaves that an audit visits at a time while commits come.
const BUSY_PORTION: usize = 20;
/// From one time to the next, at least, while they come.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// From one time to the next, at least, while none come.
const PAUSE: Duration = Duration::from_millis(200);
/// Leaves that an audit visits at a time while none come: so many that it goes round in a minute, and so few that a
/// commit does not wait for it.
const PORTION: (usize, usize) = (25, 1024);
/// In so many times it goes round, less than half a second each.
const TIMES: usize = 120;
/// From the end of an audit that has found everything in place to the next.
const REST: Duration = Duration::from_mins(10);
/// Leaves that such a one visits at a time: they cost less than looking for commits does.
const SLOW_PORTION: usize = 8;
/// Where a pass begins.
const START: Cursor = (0, i64::MIN);

/// A table, by its index, and a key of it.
pub(super) type Cursor = (usize, i64);

/// Where the pass is.
#[derive(Debug)]
pub(super) struct Sweep {
    cursor: Cursor,
    resyncs: bool,
    /// Every row of this epoch has been compared.
    complete: bool,
    /// The state that the present audit began with.
    began_at: Option<Committed>,
    /// The state of which an audit has visited every leaf.
    audited: Option<Committed>,
    /// When the audit goes on.
    next_audit: Duration,
    /// When it begins again although it has visited every leaf in the present state.
    next_round: Duration,
    /// Leaves visited in this pass, and in the last one.
    visited: usize,
    leaves: usize,
    passes: u64,
}

impl Default for Sweep {
    fn default() -> Self {
        Self {
            cursor: START,
            resyncs: true,
            complete: false,
            began_at: None,
            audited: None,
            next_audit: Duration::ZERO,
            next_round: Duration::ZERO,
            visited: 0,
            leaves: 0,
            passes: 0,
        }
    }
}

impl Sweep {
    /// Has every row compared before the tables count as complete again.
    pub(super) fn begin_epoch(&mut self) {
        self.complete = false;
        self.resync();
    }

    /// Has every row compared, because changes may have gone by unread.
    pub(super) fn resync(&mut self) {
        self.cursor = START;
        self.visited = 0;
        self.resyncs = true;
        self.audited = None;
    }

    /// Whether every row of this epoch has been compared.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether changes that may have gone by are still looked for.
    pub(super) fn is_resyncing(&self) -> bool {
        self.resyncs
    }

    /// Whether a pass is about to begin that compares every row.
    pub(super) fn is_about_to_resync(&self) -> bool {
        self.resyncs && self.cursor == START
    }

    /// Whether an audit has visited every leaf in the present `state`.
    pub(super) fn has_audited(&self, state: Option<Committed>) -> bool {
        state.is_some() && self.audited == state
    }

    /// Leaves that an audit is to visit now; 0 while it rests. `is_busy`: commits come.
    pub(super) fn audit_portion(
        &mut self,
        now: Duration,
        state: Option<Committed>,
        is_busy: bool,
    ) -> usize {
        let audited = self.has_audited(state);
        if now < self.next_audit || audited && now < self.next_round {
            return 0;
        }
        let (portion, pause) = if is_busy {
            (BUSY_PORTION, BUSY_PAUSE)
        } else if audited {
            (SLOW_PORTION, PAUSE)
        } else {
            let portion = self.leaves.div_ceil(TIMES);
            (portion.clamp(PORTION.0, PORTION.1), PAUSE)
        };
        self.next_audit = now + pause;
        portion
    }

    /// Where to go on; at the start of a pass the present `state` is noted.
    pub(super) fn position(&mut self, state: Option<Committed>) -> Cursor {
        if self.cursor == START {
            self.began_at = state;
        }
        self.cursor
    }

    /// So many leaves were visited from `cursor` on; the next key there, if there is one. Where the pass begins anew
    /// because of what was found meanwhile, that remains so.
    pub(super) fn advance(&mut self, cursor: Cursor, next: Option<i64>, leaves: usize) {
        if self.cursor == cursor {
            let (table, _) = cursor;
            self.cursor = next.map_or((table + 1, Span::ALL.low), |key| (table, key));
        }
        self.visited += leaves;
    }

    /// Every table has been visited; `final_pass` where nothing is left that another one has to confirm.
    pub(super) fn end_pass(&mut self, now: Duration, final_pass: bool) {
        self.passes += 1;
        self.cursor = START;
        self.audited = self.began_at.take();
        self.next_round = now + REST;
        self.leaves = std::mem::take(&mut self.visited);
        if self.resyncs && final_pass {
            self.complete = true;
            self.resyncs = false;
        }
    }

    /// How many passes there were.
    pub(super) fn passes(&self) -> u64 {
        self.passes
    }
}

//! Sweeping: comparing every row of every table with what is known, a few leaves at a time.

use std::time::Duration;

use crate::sqlite_file::reason::Result;
use crate::sqlite_file::walker::Span;

use super::Sink;
use super::engine::Engine;

/// Leaves read in a step.
const LEAVES_A_STEP: usize = 1024;
/// Leaves read in a window, at most.
const LEAVES_A_WINDOW: usize = 128;
/// Payload gathered in a window before it ends.
const BYTES_A_WINDOW: usize = 1 << 20;
/// Until a cycle confirms that rows are gone which an earlier one has missed.
const CONFIRM_AFTER: Duration = Duration::from_secs(1);

/// Where the sweep is.
#[derive(Debug)]
pub(super) struct Sweep {
    /// The next table and key; `None` when there is nothing to do.
    cursor: Option<(usize, i64)>,
    /// Commits came during this cycle: another must follow.
    again: bool,
    /// Every row of this epoch has been compared.
    complete: bool,
    /// Rows that are gone are not told before a second cycle has missed them too.
    doubt: Doubt,
    /// Leaves in a window, fewer while writers make windows fail.
    width: usize,
}

/// Whether the absence of rows is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// Yes.
    None,
    /// Not in this cycle, which has missed so many rows.
    Held(u64),
    /// From then on, in a new cycle.
    Until(Duration),
}

impl Default for Sweep {
    fn default() -> Self {
        Self {
            cursor: None,
            again: false,
            complete: false,
            doubt: Doubt::None,
            width: LEAVES_A_WINDOW,
        }
    }
}

impl Sweep {
    /// Begins to compare every row; where the database is `moved` to another place, rows that are gone are
    /// confirmed first.
    pub(super) fn begin_epoch(&mut self, moved: bool) {
        self.cursor = Some((0, Span::ALL.low));
        self.again = false;
        self.complete = false;
        if moved {
            self.doubt = Doubt::Held(0);
        }
    }

    /// Has every row compared that a commit since may have changed.
    pub(super) fn again(&mut self) {
        if self.cursor.is_none() {
            self.cursor = Some((0, Span::ALL.low));
        } else {
            self.again = true;
        }
    }

    /// Whether every row of this epoch has been compared.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether nothing is left to compare.
    pub(super) fn is_done(&self) -> bool {
        self.cursor.is_none()
    }

    /// Makes windows shorter, because one was lost.
    pub(super) fn narrow(&mut self) {
        self.width = (self.width / 2).max(1);
    }

    /// Makes windows longer, because one held.
    fn widen(&mut self) {
        self.width = (self.width + 1 + self.width / 4).min(LEAVES_A_WINDOW);
    }

    /// Ends a cycle at `now`.
    fn end_cycle(&mut self, now: Duration) {
        match self.doubt {
            Doubt::Held(missed) if missed > 0 => {
                self.doubt = Doubt::Until(now + CONFIRM_AFTER);
                self.again = true;
            }
            Doubt::Held(_) | Doubt::Until(_) | Doubt::None => {
                self.doubt = Doubt::None;
                self.complete = true;
            }
        }
        self.cursor = std::mem::take(&mut self.again).then_some((0, Span::ALL.low));
    }
}

impl Engine {
    /// Compares the next leaves.
    ///
    /// # Errors
    /// When writers leave no window, or a page cannot be read.
    pub(super) fn sweep_some(&mut self, now: Duration, sink: &mut dyn Sink) -> Result<()> {
        let mut left = LEAVES_A_STEP;
        while left > 0 {
            let Some((index, key)) = self.sweep.cursor else {
                break;
            };
            if let Doubt::Until(then) = self.sweep.doubt
                && now < then
            {
                break;
            }
            let Some(followed) = self.tables.get(index) else {
                self.counters.sweeps += 1;
                self.sweep.end_cycle(now);
                continue;
            };
            let root = followed.table.as_ref().map(|it| it.root);
            let next = match root {
                Some(root) => {
                    let next = self.in_window(now, |engine, source| {
                        engine.gather(source, index, root, key)
                    })?;
                    left = left.saturating_sub(self.batch.leaves.len());
                    self.sweep.widen();
                    self.tell_batch(index, sink);
                    next
                }
                None => None,
            };
            self.sweep.cursor = Some(match next {
                Some(key) => (index, key),
                None => (index + 1, Span::ALL.low),
            });
        }
        self.count_rows();
        Ok(())
    }

    /// Tells what the gathered leaves of table `index` show.
    fn tell_batch(&mut self, index: usize, sink: &mut dyn Sink) {
        let leaves = std::mem::take(&mut self.batch.leaves);
        let deletes = !matches!(self.sweep.doubt, Doubt::Held(_));
        for leaf in &leaves {
            let gone = self.tell(index, leaf, deletes, sink);
            if let Doubt::Held(missed) = &mut self.sweep.doubt {
                *missed += gone;
            }
        }
        self.batch.leaves = leaves;
    }

    /// Reads leaves from `key` on; the key after them, `None` at the end of the table.
    fn gather(
        &mut self,
        source: &mut crate::sqlite_file::source::Source,
        index: usize,
        root: u32,
        key: i64,
    ) -> Result<Option<i64>> {
        self.batch.clear();
        let mut key = key;
        for _ in 0..self.sweep.width {
            let Some(followed) = self.tables.get(index) else {
                return Ok(None);
            };
            let span = self
                .batch
                .read(source, &mut self.walker, root, key, &followed.known)?;
            match span.high.checked_add(1) {
                Some(next) => key = next,
                None => return Ok(None),
            }
            if self.batch.size() > BYTES_A_WINDOW {
                break;
            }
        }
        Ok(Some(key))
    }
}

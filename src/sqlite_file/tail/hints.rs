//! Hints in rollback mode: which rows the entries of an index point at that are not as they were.
//!
//! A database file tells nothing of what a commit changed. But a column that changes with each refresh of a row
//! has an index a twentieth of the table's size, and the pages of that which differ from before name the rows.
//! The walk needs no window: what it reads wrongly now, it will find changed again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::sqlite_file::page::{Kind, Node};
use crate::sqlite_file::payload::Pages;
use crate::sqlite_file::reason::{Reason, Result};
use crate::sqlite_file::record::{self, Value};
use crate::sqlite_file::source::Committed;
use crate::sqlite_file::walker::Span;

use super::engine::Engine;
use super::schemas::Suspicion;

/// When a row that has changed is looked at again. Kamailio's times are of a second, so that the index does not
/// show another change within it.
pub(super) const RECHECK: Duration = Duration::from_millis(1500);
/// Pages walked in a step.
const PAGES_A_STEP: usize = 2048;
/// Rest after a walk, for each page of it: 25 times what it takes.
const REST_A_PAGE: Duration = Duration::from_micros(60);
/// Rest after looking at all rows, for each row: 25 times what it takes.
const REST_A_ROW: Duration = Duration::from_micros(25);
/// Times in succession that an index cannot be read until it is given up, for this epoch.
const FAILURES: u32 = 3;

/// Where hints come from.
#[derive(Debug, Default)]
pub(super) enum Hints {
    /// The write-ahead log.
    #[default]
    Log,
    /// An index.
    Index(Box<Index>),
    /// Nowhere: each commit may have changed every row. There is no index, or it is damaged.
    Everything(Pace),
}

/// When hints are taken, and of which state they are.
#[derive(Debug, Default)]
pub(super) struct Pace {
    of: Option<Committed>,
    next: Duration,
}

/// An index and what it was like.
#[derive(Debug)]
pub(super) struct Index {
    root: u32,
    pages: HashMap<u32, Remembered>,
    walk: Option<Walk>,
    /// Whether it has been walked once.
    known: bool,
    /// How often in succession it was malformed.
    failures: u32,
    pace: Pace,
}

/// A page of an index.
#[derive(Debug)]
struct Remembered {
    hash: u64,
    /// Rowid and hash of each entry, in order.
    entries: Box<[(i64, u64)]>,
}

/// A walk through an index.
#[derive(Debug)]
struct Walk {
    /// The state that was committed when it began.
    of: Option<Committed>,
    left: Vec<u32>,
    met: HashSet<u32>,
}

impl Hints {
    /// Hints from the index with its root there, or from nowhere.
    pub(super) fn without_log(index: Option<u32>) -> Self {
        match index {
            None => Self::Everything(Pace::default()),
            Some(root) => Self::Index(Box::new(Index {
                root,
                pages: HashMap::new(),
                walk: None,
                known: false,
                failures: 0,
                pace: Pace::default(),
            })),
        }
    }

    /// Whether all hints have been taken that `state` gives.
    pub(super) fn are_of(&self, state: Option<Committed>) -> bool {
        match self {
            Self::Log => true,
            Self::Index(index) => index.walk.is_none() && index.pace.of == state,
            Self::Everything(pace) => pace.of == state,
        }
    }

    /// Whether what changes from now on will give hints.
    pub(super) fn are_ready(&self) -> bool {
        match self {
            Self::Log | Self::Everything(_) => true,
            Self::Index(index) => index.known,
        }
    }

    /// Whether some changes give no hint.
    pub(super) fn miss_some(&self) -> bool {
        matches!(self, Self::Index(_))
    }

    /// How long they may wait, with `state` committed.
    pub(super) fn rest(&self, now: Duration, state: Option<Committed>) -> Option<Duration> {
        let pace = match self {
            Self::Log => return None,
            Self::Index(index) => &index.pace,
            Self::Everything(pace) => pace,
        };
        (!self.are_of(state)).then(|| pace.next.saturating_sub(now))
    }
}

impl Engine {
    /// Looks again at rows that have changed a while ago.
    pub(super) fn recheck(&mut self, now: Duration) {
        while let Some((_, index, rowid)) = self.rechecks.pop_front_if(|it| it.0 <= now) {
            if let Some(followed) = self.tables.get_mut(index) {
                let (low, high) = (rowid, rowid);
                followed.pending.add(Span { low, high });
            }
        }
    }

    /// Takes the hints that come of indexes, where their rest is over.
    ///
    /// # Errors
    /// When an index cannot be read.
    pub(super) fn walk_indexes(&mut self, now: Duration) -> Result<()> {
        for index in 0..self.tables.len() {
            let Some(followed) = self.tables.get_mut(index) else {
                break;
            };
            let mut hints = std::mem::take(&mut followed.hints);
            let mut walked = Ok(());
            if let Hints::Index(it) = &mut hints {
                walked = self.walk_index(now, index, it);
                if it.failures >= FAILURES {
                    hints = Hints::Everything(Pace::default());
                }
            }
            if let Hints::Everything(pace) = &mut hints {
                self.look_at_all(now, index, pace);
            }
            if let Some(followed) = self.tables.get_mut(index) {
                followed.hints = hints;
            }
            walked?;
        }
        Ok(())
    }

    fn look_at_all(&mut self, now: Duration, index: usize, pace: &mut Pace) {
        if pace.of == self.seen || now < pace.next {
            return;
        }
        if let Some(followed) = self.tables.get_mut(index) {
            // A sweep that is about to begin looks at all as well.
            if !self.sweep.is_about_to_heal() {
                followed.pending.add(Span::ALL);
            }
            let rows = u32::try_from(followed.known.len()).unwrap_or(u32::MAX);
            pace.next = now + REST_A_ROW.saturating_mul(rows);
        }
        pace.of = self.seen;
    }

    fn walk_index(&mut self, now: Duration, index: usize, it: &mut Index) -> Result<()> {
        if it.walk.is_none() {
            if it.pace.of == self.seen || now < it.pace.next {
                return Ok(());
            }
            it.walk = Some(Walk {
                of: self.seen,
                left: vec![it.root],
                met: HashSet::new(),
            });
        }
        let mut hints = Vec::new();
        let mut walked = Ok(());
        let vanished = self.rules.vanished;
        let held = self.try_window(|_, source| {
            walked = it.walk_on(source, &mut hints, vanished);
            Ok(())
        });
        if it.known
            && self.rules.indexes
            && let Some(followed) = self.tables.get_mut(index)
        {
            for rowid in hints {
                let (low, high) = (rowid, rowid);
                followed.pending.add(Span { low, high });
            }
        }
        if walked.is_err() {
            it.walk = None;
            it.pace.next = now;
        }
        // The pages are remembered by now, and hint only once: only after that it may fail.
        let held = held?.is_some();
        if let Err(reason) = walked {
            return match reason {
                _ if !held => Ok(()),
                Reason::Malformed(_) => {
                    it.failures += 1;
                    self.suspect(Suspicion::Schema);
                    Ok(())
                }
                other => Err(other),
            };
        }
        it.failures = 0;
        if let Some(done) = it.walk.take_if(|walk| walk.left.is_empty()) {
            it.known = true;
            let pages = u32::try_from(done.met.len()).unwrap_or(u32::MAX);
            it.pace = Pace {
                of: done.of,
                next: now + REST_A_PAGE.saturating_mul(pages),
            };
        }
        Ok(())
    }
}

impl Index {
    /// Walks some pages; the rowids of what has changed go to `hints`.
    fn walk_on(
        &mut self,
        pages: &mut dyn Pages,
        hints: &mut Vec<i64>,
        vanished: bool,
    ) -> Result<()> {
        let Some(walk) = &mut self.walk else {
            return Ok(());
        };
        let mut page = Vec::new();
        for _ in 0..PAGES_A_STEP {
            let Some(number) = walk.left.pop() else {
                break;
            };
            if !walk.met.insert(number) {
                return Err(Reason::Malformed("a page twice in an index"));
            }
            pages.read(number, &mut page)?;
            let node = Node::parse(number, &page, pages.usable())?;
            match node.kind {
                Kind::IndexLeaf => {}
                Kind::IndexInterior => {
                    for child in 0..=node.cells {
                        walk.left.push(node.child(child)?);
                    }
                }
                Kind::TableInterior | Kind::TableLeaf => {
                    return Err(Reason::Malformed("a table in place of an index"));
                }
            }
            let hash = xxh3_64(&page);
            let before = self.pages.get(&number);
            if before.is_none_or(|it| it.hash != hash) {
                let entries = entries(&node, pages)?;
                differing(before.map_or(&[], |it| &it.entries), &entries, hints);
                self.pages.insert(number, Remembered { hash, entries });
            }
        }
        if walk.left.is_empty() {
            self.pages.retain(|number, page| {
                let met = walk.met.contains(number);
                if !met && vanished {
                    hints.extend(page.entries.iter().map(|it| it.0));
                }
                met
            });
        }
        Ok(())
    }
}

/// The rowid, which an entry ends with, and the hash of each entry of an index page.
fn entries(node: &Node<'_>, pages: &mut dyn Pages) -> Result<Box<[(i64, u64)]>> {
    let mut found = Vec::with_capacity(node.cells);
    let (mut room, mut bytes) = (Vec::new(), Vec::new());
    for index in 0..node.cells {
        bytes.clear();
        let payload = node.entry(index)?;
        payload.append(pages, &mut room, &mut bytes, &mut Vec::new())?;
        if let Some(Value::Integer(rowid)) = record::decode(&bytes)?.last() {
            found.push((*rowid, xxh3_64(&bytes)));
        }
    }
    found.sort_unstable();
    Ok(found.into_boxed_slice())
}

/// Appends the rowids of the entries that only one of the two ordered lists has.
fn differing(before: &[(i64, u64)], after: &[(i64, u64)], into: &mut Vec<i64>) {
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    while let (Some(old), Some(new)) = (before.peek(), after.peek()) {
        match old.cmp(new) {
            std::cmp::Ordering::Less => into.extend(before.next().map(|it| it.0)),
            std::cmp::Ordering::Greater => into.extend(after.next().map(|it| it.0)),
            std::cmp::Ordering::Equal => {
                before.next();
                after.next();
            }
        }
    }
    into.extend(before.chain(after).map(|it| it.0));
}

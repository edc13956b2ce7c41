//! Hints in rollback mode: which rows the entries of an index point at that are not as they were.
//!
//! A database file does not show what a commit changed. But a column that changes with each refresh of a row has an
//! index a twentieth of the table's size, and the pages of it that differ from before name the rows. The walk needs no
//! window: what it reads wrongly now, it will find changed again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::sqlite_file::page::{Kind, Node};
use crate::sqlite_file::payload::Pages;
use crate::sqlite_file::reason::{Reason, Result};
use crate::sqlite_file::record::{self, Value};
use crate::sqlite_file::source::Committed;
use crate::sqlite_file::walker::Span;

use super::epoch::Suspicion;
use super::hints::Pace;
use super::pending::Pending;
use super::rules::{Rule, Rules};
use super::windows::Windows;

/// Pages walked in a step.
const PAGES_A_STEP: usize = 2048;
/// Rest after a walk, for each page of it: 25 times what it takes.
const REST_A_PAGE: Duration = Duration::from_micros(60);
/// Times in succession that an index cannot be read until it is given up, for this epoch.
const FAILURES: u32 = 3;

/// An index and what it was like.
#[derive(Debug)]
pub(super) struct HintIndex {
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

impl HintIndex {
    /// The index with its root there, of which nothing is known.
    pub(super) fn new(root: u32) -> Self {
        Self {
            root,
            pages: HashMap::new(),
            walk: None,
            known: false,
            failures: 0,
            pace: Pace::default(),
        }
    }

    /// Whether it has been walked once, so that what changes from now on will show.
    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    /// Whether it is damaged for good.
    pub(super) fn is_given_up(&self) -> bool {
        self.failures >= FAILURES
    }

    /// Whether it has been walked in `state`.
    pub(super) fn is_of(&self, state: Option<Committed>) -> bool {
        self.walk.is_none() && self.pace.is_of(state)
    }

    /// When it is walked.
    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Walks on, where its rest is over; the rows that its changes point at are added to `pending`.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn take(
        &mut self,
        now: Duration,
        windows: &mut Windows,
        pending: &mut Pending,
        rules: Rules,
    ) -> Result<()> {
        if self.walk.is_none() {
            if !self.pace.is_due(now, windows.state()) {
                return Ok(());
            }
            self.walk = Some(Walk {
                of: windows.state(),
                left: vec![self.root],
                met: HashSet::new(),
            });
        }
        let mut hints = Vec::new();
        let mut walked = Ok(());
        let held = windows.try_read(|window| {
            walked = self.walk_on(window.pages, &mut hints, rules);
            Ok(())
        });
        if self.known && rules.has(Rule::Index) {
            for rowid in hints {
                pending.add(Span::of(rowid));
            }
        }
        if walked.is_err() {
            self.walk = None;
            self.pace.hurry(now);
        }
        // The pages are remembered by now, and hint only once: only after that it may fail.
        let held = held?.is_some();
        match walked {
            Ok(()) => {}
            Err(_) if !held => return Ok(()),
            Err(Reason::Malformed(_)) => {
                self.failures += 1;
                windows.suspect(Suspicion::Schema);
                return Ok(());
            }
            Err(other) => return Err(other),
        }
        self.failures = 0;
        if let Some(done) = self.walk.take_if(|walk| walk.left.is_empty()) {
            self.known = true;
            self.pace.rest(now, done.of, REST_A_PAGE, done.met.len());
        }
        Ok(())
    }

    /// Walks some pages; the rowids of what has changed go to `hints`.
    fn walk_on(&mut self, pages: &mut dyn Pages, hints: &mut Vec<i64>, rules: Rules) -> Result<()> {
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
                if !met && rules.has(Rule::VanishedPages) {
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

//! Which page holds which keys: what makes a changed page of the log a hint.
//!
//! Every page of a table's b-tree that a visit has passed is noted with the keys it owns. When a commit changes a
//! leaf, the keys it owned may have changed. When a commit changes an interior page, the keys of those children
//! may have changed that it has newly or with other keys than noted. A page that is not noted belongs to nobody,
//! or is new below a noted one that has changed as well. So no change of a table goes without a hint, and pages
//! of other tables give none.

use std::collections::HashMap;

use crate::sqlite_file::page::{Kind, Node};
use crate::sqlite_file::payload::Pages;
use crate::sqlite_file::reason::{Reason, Result};
use crate::sqlite_file::walker::{Span, child_at};

/// The pages of all tables.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    places: HashMap<u32, Place>,
}

/// What a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The index of the table.
    pub(super) table: u32,
    /// Whether it is an interior page.
    pub(super) interior: bool,
    /// The keys it owns.
    pub(super) span: Span,
}

/// What an examination of interior pages found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Keys that may have changed.
    pub(super) pending: Vec<(u32, Span)>,
    interiors: Vec<(u32, Place)>,
    gone: Vec<u32>,
}

impl Nodes {
    /// Notes a page.
    pub(super) fn note(&mut self, number: u32, place: Place) {
        self.places.insert(number, place);
    }

    /// Forgets a page.
    pub(super) fn forget(&mut self, number: u32) {
        self.places.remove(&number);
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.places.clear();
    }

    /// What page `number` holds, as far as noted.
    pub(super) fn get(&self, number: u32) -> Option<Place> {
        self.places.get(&number).copied()
    }

    /// Compares the interior pages `suspects`, which have changed, with what is noted of their children.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub(super) fn examine(&self, pages: &mut dyn Pages, suspects: &[u32]) -> Result<Findings> {
        let mut findings = Findings::default();
        let mut page = Vec::new();
        let mut left: Vec<(u32, Place)> = suspects
            .iter()
            .filter_map(|&number| Some((number, self.get(number)?)))
            .collect();
        // A suspect's own span may be noted wrongly; what its parent says counts.
        let mut told = HashMap::new();
        let mut bound = pages.count();
        while let Some((number, place)) = left.pop() {
            if number > pages.count() {
                findings.gone.push(number);
                continue;
            }
            if told.get(&number).is_some_and(|it| *it != place.span) {
                continue;
            }
            bound = bound
                .checked_sub(1)
                .ok_or(Reason::Malformed("a b-tree greater than the database"))?;
            pages.read(number, &mut page)?;
            let children = match Node::parse(number, &page, pages.usable()) {
                Ok(node) if node.kind == Kind::TableInterior => self.new_children(&node, place),
                Ok(node) if node.kind == Kind::TableLeaf => {
                    findings.pending.push((place.table, place.span));
                    None
                }
                Ok(_) | Err(_) => None,
            };
            // What has left the tree, or its place in it, has a parent that has changed too.
            let Some(children) = children else {
                findings.gone.push(number);
                continue;
            };
            let interior = true;
            findings
                .interiors
                .push((number, Place { interior, ..place }));
            told.extend(children.iter().map(|&(child, place)| (child, place.span)));
            left.extend(children);
        }
        Ok(findings)
    }

    /// The children of `node` that are not noted just so; `None` if it cannot be at that place.
    fn new_children(&self, node: &Node<'_>, place: Place) -> Option<Vec<(u32, Place)>> {
        let mut children = Vec::new();
        for index in 0..=node.cells {
            let (child, span) = child_at(node, place.span, index).ok()?;
            let noted = self
                .get(child)
                .is_some_and(|it| it.table == place.table && it.span == span);
            if !noted {
                children.push((child, Place { span, ..place }));
            }
        }
        Some(children)
    }

    /// Takes over what an examination found.
    pub(super) fn update(&mut self, findings: &Findings) {
        for number in &findings.gone {
            self.forget(*number);
        }
        for &(number, place) in &findings.interiors {
            self.note(number, place);
        }
    }
}

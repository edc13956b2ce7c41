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
use crate::sqlite_file::reason::Result;
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
        // Pages that were noted at places where they no longer are may lead to the same children again and again.
        while let Some((number, place)) = left.pop() {
            if number > pages.count() {
                findings.gone.push(number);
                continue;
            }
            if told.get(&number).is_some_and(|it| *it != place.span) {
                continue;
            }
            let Some(rest) = bound.checked_sub(1) else {
                // Rather than go on, look at all the keys that are left.
                findings.pending.push((place.table, place.span));
                findings.gone.push(number);
                continue;
            };
            bound = rest;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite_file::reason::Reason;

    const SIZE: usize = 512;

    struct Memory(Vec<Vec<u8>>);

    impl Pages for Memory {
        fn usable(&self) -> usize {
            SIZE
        }

        fn count(&self) -> u32 {
            u32::try_from(self.0.len()).unwrap()
        }

        fn read(&mut self, number: u32, page: &mut Vec<u8>) -> Result<()> {
            let found = self.0.get(number as usize - 1);
            page.clone_from(found.ok_or(Reason::Malformed("no page"))?);
            Ok(())
        }
    }

    fn leaf() -> Vec<u8> {
        let mut page = vec![0; SIZE];
        page[0] = 13;
        page
    }

    /// An interior page with these children, each with its greatest key.
    fn interior(children: &[(u8, u8)], right: u8) -> Vec<u8> {
        let mut page = vec![0; SIZE];
        page[0] = 5;
        page[4] = u8::try_from(children.len()).unwrap();
        page[11] = right;
        for (index, (child, key)) in children.iter().enumerate() {
            let at = SIZE - 8 * (index + 1);
            page[at + 3] = *child;
            page[at + 4] = *key;
            let pointer = u16::try_from(at).unwrap().to_be_bytes();
            page[12 + 2 * index..14 + 2 * index].copy_from_slice(&pointer);
        }
        page
    }

    #[test]
    fn what_is_too_tangled_is_looked_at_whole() {
        let root = interior(&[(3, 10), (4, 20), (5, 30)], 6);
        // The seventh has left the tree and still looks as it did.
        let leaves = std::iter::repeat_with(leaf).take(4);
        let pages = [leaf(), root.clone()].into_iter().chain(leaves);
        let mut pages = Memory(pages.chain([root]).collect());
        let mut nodes = Nodes::default();
        let place = |low, high| Place {
            table: 0,
            interior: true,
            span: Span { low, high },
        };
        nodes.note(2, place(i64::MIN, i64::MAX));
        nodes.note(7, place(i64::MIN, i64::MAX));
        let findings = nodes.examine(&mut pages, &[2, 7]).unwrap();
        let mut spans: Vec<_> = findings
            .pending
            .iter()
            .map(|(_, span)| (span.low, span.high))
            .collect();
        spans.sort_unstable();
        let mut covered = i128::from(i64::MIN);
        for (low, high) in spans {
            assert!(i128::from(low) <= covered, "{findings:?}");
            covered = covered.max(i128::from(high) + 1);
        }
        assert_eq!(covered, i128::from(i64::MAX) + 1, "{findings:?}");
    }
}

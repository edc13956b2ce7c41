//! Which page of a table holds which keys: what makes a changed page of the log a hint.
//!
//! Every page of a table's b-tree that a visit has passed is noted with the keys it owns. When a commit changes a
//! leaf, the keys it owned may have changed. When a commit changes an interior page, the keys of those children
//! may have changed that it has newly or with other keys than noted. A page that is not noted is not the table's, or
//! is new below a noted one that has changed as well. So no change of a table goes without a hint, and pages of other
//! tables give none.

use std::collections::HashMap;

use crate::sqlite_file::page::{Kind, Node};
use crate::sqlite_file::payload::Pages;
use crate::sqlite_file::reason::Result;
use crate::sqlite_file::walker::{Span, Walker, child_at};

/// The pages of a table.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    places: HashMap<u32, Place>,
}

/// What a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Whether it is an interior page.
    pub(super) interior: bool,
    /// The keys it owns.
    pub(super) span: Span,
}

/// What an examination of interior pages found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Keys that may have changed.
    pub(super) pending: Vec<Span>,
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

    /// Compares the interior pages `suspects`, which have changed, with what is noted of their children. `root` is
    /// where the table begins, while it is there.
    ///
    /// # Errors
    /// When a page cannot be read.
    pub(super) fn examine(
        &self,
        pages: &mut dyn Pages,
        walker: &mut Walker,
        root: Option<u32>,
        suspects: &[u32],
    ) -> Result<Findings> {
        let mut findings = Findings::default();
        let mut left = Vec::new();
        for &number in suspects {
            let Some(place) = self.get(number) else {
                continue;
            };
            // What is noted may be of a time before a gap, and its children another table's. What has left the tree,
            // or its place in it, has a parent that has changed too.
            let is_there = match root {
                Some(root) => {
                    walker.seek(pages, root, place.span.low)?;
                    walker.has_passed(number, place.span)
                }
                None => false,
            };
            if is_there {
                left.push((number, place));
            } else {
                findings.gone.push(number);
            }
        }
        let mut page = Vec::new();
        // A damaged page may lead back to itself.
        let mut bound = pages.count();
        while let Some((number, place)) = left.pop() {
            let Some(rest) = bound.checked_sub(1) else {
                // Rather than go on, look at all the keys that are left.
                findings.pending.push(place.span);
                findings.gone.push(number);
                continue;
            };
            bound = rest;
            pages.read(number, &mut page)?;
            let children = match Node::parse(number, &page, pages.usable()) {
                Ok(node) if node.kind == Kind::TableInterior => self.new_children(&node, place),
                Ok(node) if node.kind == Kind::TableLeaf => {
                    findings.pending.push(place.span);
                    None
                }
                Ok(_) | Err(_) => None,
            };
            let Some(children) = children else {
                findings.gone.push(number);
                continue;
            };
            let interior = true;
            findings
                .interiors
                .push((number, Place { interior, ..place }));
            left.extend(children);
        }
        Ok(findings)
    }

    /// The children of `node` that are not noted just so; `None` if it cannot be at that place.
    fn new_children(&self, node: &Node<'_>, place: Place) -> Option<Vec<(u32, Place)>> {
        let mut children = Vec::new();
        for index in 0..=node.cells {
            let (child, span) = child_at(node, place.span, index).ok()?;
            if self.get(child).is_none_or(|it| it.span != span) {
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

    fn place(low: i64, high: i64) -> Place {
        Place {
            interior: true,
            span: Span { low, high },
        }
    }

    fn examine(nodes: &Nodes, pages: Vec<Vec<u8>>, suspects: &[u32]) -> Findings {
        let mut walker = Walker::default();
        let examined = nodes.examine(&mut Memory(pages), &mut walker, Some(2), suspects);
        let mut findings = examined.unwrap();
        findings.pending.sort_unstable_by_key(|span| span.low);
        findings
    }

    #[test]
    fn a_page_that_leads_to_itself_is_looked_at_whole() {
        let pages = vec![leaf(), interior(&[(3, 10)], 4), leaf(), interior(&[], 4)];
        let mut nodes = Nodes::default();
        nodes.note(2, place(i64::MIN, i64::MAX));
        nodes.note(3, place(i64::MIN, 10));
        let findings = examine(&nodes, pages, &[2]);
        assert_eq!(findings.pending, [place(11, i64::MAX).span]);
    }

    #[test]
    fn a_page_that_is_not_where_it_was_noted_tells_nothing_of_its_children() {
        let root = interior(&[(3, 10), (4, 20), (5, 30)], 6);
        let leaves = std::iter::repeat_with(leaf).take(4);
        let pages: Vec<_> = [leaf(), root.clone()].into_iter().chain(leaves).collect();
        // The seventh has left the tree and still looks as it did.
        let pages = [pages, vec![root]].concat();
        let mut nodes = Nodes::default();
        nodes.note(2, place(i64::MIN, i64::MAX));
        for stale in [place(i64::MIN, i64::MAX), place(5, 30)] {
            nodes.note(7, stale);
            let findings = examine(&nodes, pages.clone(), &[2, 7]);
            assert!(findings.gone.contains(&7), "{findings:?}");
            let spans: Vec<_> = findings
                .pending
                .iter()
                .map(|span| (span.low, span.high))
                .collect();
            let wanted = [(i64::MIN, 10), (11, 20), (21, 30), (31, i64::MAX)];
            assert_eq!(spans, wanted);
        }
    }
}

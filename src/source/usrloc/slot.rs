//! One binding with its row and its attribute rows: what was reported of it, and what has come since.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::attribute_rows::AttributeRows;
use crate::registration::{Attributes, Binding, Key, Shapes, Text};

/// A slot's place, counted from 1: so that none takes no more room than one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct SlotId(NonZeroU32);

impl SlotId {
    pub(super) fn new(place: usize) -> Self {
        let number = u32::try_from(place + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("a table has fewer than 2^32 rows"))
    }

    pub(super) fn place(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// There are as many as registrations, so each byte counts.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The key, where no binding has it.
    pub(super) key: Option<Box<Key>>,
    /// The row that holds the binding now, if `has_row`.
    row: i64,
    pub(super) has_row: bool,
    /// Its content, where that has not been told yet.
    pub(super) incoming: Option<Box<Binding>>,
    /// What has been told.
    pub(super) told: Option<Arc<Binding>>,
    pub(super) attributes: AttributeRows,
    pub(super) touched: bool,
}

impl Slot {
    /// That of a binding which has been told.
    pub(super) fn of_told(binding: Arc<Binding>) -> Self {
        Self {
            told: Some(binding),
            ..Self::default()
        }
    }

    /// That of a key of which nothing has been told.
    pub(super) fn of_key(key: Key) -> Self {
        Self {
            key: Some(Box::new(key)),
            ..Self::default()
        }
    }

    pub(super) fn row(&self) -> Option<i64> {
        self.has_row.then_some(self.row)
    }

    pub(super) fn set_row(&mut self, row: Option<i64>) {
        self.has_row = row.is_some();
        self.row = row.unwrap_or_default();
    }

    pub(super) fn key(&self) -> Option<&Key> {
        let told = self.told.as_ref().map(|told| &told.key);
        told.or(self.key.as_deref())
    }

    /// Whether row and attributes are what has been told.
    pub(super) fn is_told(&self) -> bool {
        let (Some(told), None) = (&self.told, &self.incoming) else {
            return false;
        };
        self.attributes.are_told(&told.attributes)
    }

    /// What there is to tell, and whether the slot waits for something.
    pub(super) fn attempt(
        &mut self,
        patient: bool,
        attributes_in_use: bool,
        shapes: &mut Shapes,
    ) -> (Option<Binding>, bool) {
        let told = self.told.as_ref().map(|told| &told.attributes);
        if told.is_none() && patient && attributes_in_use && self.attributes.is_empty() {
            return (None, true);
        }
        let current: Vec<_> = self.attributes.content(told).collect();
        let is_present = |name: &Text| current.iter().any(|(present, _)| *present == name);
        let lost = told.into_iter().flat_map(Attributes::iter);
        let lost = lost.filter(|(name, _)| patient && !is_present(name));
        let kept: Vec<_> = lost.collect();
        let waits = !kept.is_empty();
        let all = kept.iter().chain(&current);
        let attributes = shapes.attributes(all.map(|(name, value)| (name.as_bytes(), &**value)));
        (self.renewed(attributes), waits)
    }

    /// Keeps no content of attribute rows twice.
    pub(super) fn share(&mut self) {
        if let Some(told) = &self.told {
            self.attributes.share(&told.attributes);
        }
    }

    /// The binding with these attributes, if that is not what has been told.
    fn renewed(&mut self, attributes: Attributes) -> Option<Binding> {
        let base = match (self.incoming.take(), &self.told) {
            (Some(incoming), _) => *incoming,
            (None, Some(told)) if told.attributes == attributes => return None,
            (None, Some(told)) => (**told).clone(),
            (None, None) => return None,
        };
        let binding = Binding { attributes, ..base };
        (self.told.as_deref() != Some(&binding)).then_some(binding)
    }
}

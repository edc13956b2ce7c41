//! Shared texts and the like: most registrations have the realm, the account or the phone's model in common with
//! others.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use foldhash::HashSet;

use super::{Common, Text};

/// Unused texts are not searched for among fewer texts than this.
const FEW: usize = 4096;

/// Keeps one copy of equal texts.
#[derive(Debug)]
pub struct Interner<S> {
    known: HashSet<S>,
    /// At this number of texts, unused ones are forgotten.
    prune_at: usize,
}

/// A text that is cheap to clone.
pub trait Shared: Borrow<Self::Content> + Clone + Eq + Hash {
    /// What it holds.
    type Content: ?Sized + Eq + Hash;

    /// A copy of `content`.
    fn of(content: &Self::Content) -> Self;

    /// Whether this is the only copy.
    fn is_alone(&self) -> bool;
}

impl<S: Shared> Interner<S> {
    /// The one copy of `text`.
    pub fn get(&mut self, text: &S::Content) -> S {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        if self.known.len() >= self.prune_at {
            self.forget_unused();
        }
        let new = S::of(text);
        self.known.insert(new.clone());
        new
    }

    /// Whether there is a copy of `text`.
    pub fn has(&self, text: &S::Content) -> bool {
        self.known.contains(text)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Forgets those of which there is no other copy.
    pub fn forget_unused(&mut self) {
        self.known.retain(|known| !known.is_alone());
        self.prune_at = FEW.max(2 * self.known.len());
    }
}

impl<S> Default for Interner<S> {
    fn default() -> Self {
        Self {
            known: HashSet::default(),
            prune_at: FEW,
        }
    }
}

impl Shared for Arc<str> {
    type Content = str;

    fn of(content: &str) -> Self {
        content.into()
    }

    fn is_alone(&self) -> bool {
        Self::strong_count(self) == 1
    }
}

impl Shared for Arc<Common> {
    type Content = Common;

    fn of(content: &Common) -> Self {
        Self::new(content.clone())
    }

    fn is_alone(&self) -> bool {
        Self::strong_count(self) == 1
    }
}

impl Shared for Text {
    type Content = [u8];

    fn of(content: &[u8]) -> Self {
        content.into()
    }

    fn is_alone(&self) -> bool {
        Self::is_alone(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_unused_ones_are_forgotten() {
        let mut interner = Interner::<Arc<str>>::default();
        let kept = interner.get("kept");
        assert!(Arc::ptr_eq(&kept, &interner.get("kept")));
        for number in 0..3 * FEW {
            interner.get(&number.to_string());
        }
        assert!(interner.known.len() <= FEW + 1);
        assert!(Arc::ptr_eq(&kept, &interner.get("kept")));
    }
}

//! Shared texts: most registrations have the realm, the account or the phone's model in common with others.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// The fewest texts that are looked through for those that nobody uses any more.
const FEW: usize = 4096;

/// Keeps one copy of equal texts.
#[derive(Debug)]
pub struct Interner<T: ?Sized> {
    known: HashSet<Arc<T>>,
    /// At this number of texts, those that nobody uses are forgotten.
    prune_at: usize,
}

impl<T: ?Sized + Eq + Hash> Interner<T> {
    /// The one copy of `text`.
    pub fn get(&mut self, text: &T) -> Arc<T>
    where
        Arc<T>: for<'a> From<&'a T>,
    {
        if let Some(known) = self.known.get(text) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.prune_at {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.prune_at = FEW.max(2 * self.known.len());
        }
        let new: Arc<T> = text.into();
        self.known.insert(Arc::clone(&new));
        new
    }
}

impl<T: ?Sized> Default for Interner<T> {
    fn default() -> Self {
        Self {
            known: HashSet::new(),
            prune_at: FEW,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_unused_ones_are_forgotten() {
        let mut interner = Interner::<str>::default();
        let kept = interner.get("kept");
        assert!(Arc::ptr_eq(&kept, &interner.get("kept")));
        for number in 0..3 * FEW {
            interner.get(&number.to_string());
        }
        assert!(interner.known.len() <= FEW + 1);
        assert!(Arc::ptr_eq(&kept, &interner.get("kept")));
    }
}

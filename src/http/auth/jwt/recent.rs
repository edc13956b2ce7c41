//! What was found out lately about tokens, so that a signature is checked once and not with each request. Pure.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Entries of one generation; two are kept, and an entry has a token's claims, some hundred bytes.
const ROOM: usize = 2048;

/// SHA-256 of a token. Finding one takes a time that tells of its hash, and so nothing of a token that is good.
pub(super) type Digest = [u8; 32];

/// The values of the last tokens that were asked for; whoever comes often stays.
#[derive(Debug)]
pub(super) struct Recent<V>(Mutex<Generations<V>>);

#[derive(Debug)]
struct Generations<V> {
    young: HashMap<Digest, V>,
    old: HashMap<Digest, V>,
}

impl<V: Clone> Recent<V> {
    /// The value of this token, if it is kept.
    pub(super) fn get(&self, digest: &Digest) -> Option<V> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = kept.young.get(digest) {
            return Some(value.clone());
        }
        let value = kept.old.remove(digest)?;
        kept.put(*digest, value.clone());
        Some(value)
    }

    /// Keeps a value.
    pub(super) fn put(&self, digest: Digest, value: V) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.put(digest, value);
    }

    /// Forgets a token.
    pub(super) fn forget(&self, digest: &Digest) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.young.remove(digest);
        kept.old.remove(digest);
    }
}

impl<V> Generations<V> {
    fn put(&mut self, digest: Digest, value: V) {
        if self.young.len() >= ROOM {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, value);
    }
}

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self(Mutex::new(Generations {
            young: HashMap::new(),
            old: HashMap::new(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: usize) -> Digest {
        let mut digest = Digest::default();
        digest[..8].copy_from_slice(&number.to_le_bytes());
        digest
    }

    #[test]
    fn keeps_a_bounded_number_and_those_who_come_often() {
        let recent = Recent::default();
        for number in 0..10 * ROOM {
            recent.put(digest(number), number);
            assert_eq!(recent.get(&digest(0)), Some(0), "{number}");
        }
        let kept = recent.0.lock().unwrap();
        assert!(kept.young.len() + kept.old.len() <= 2 * ROOM);
        drop(kept);
        assert_eq!(recent.get(&digest(1)), None);
    }

    #[test]
    fn forgets() {
        let recent = Recent::default();
        recent.put(digest(1), 1);
        recent.forget(&digest(1));
        assert_eq!(recent.get(&digest(1)), None);
    }
}

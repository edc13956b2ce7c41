//! How far somebody has read the logs of all nodes: a number for each log, as an id that says nothing to clients.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use integer_encoding::VarInt;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::log::Log;

/// The version of ids.
const VERSION: u8 = 1;

/// So many bytes tell logs from each other.
const KEY: usize = 6;

/// What tells a log from others.
pub(super) type Key = [u8; KEY];

/// The number of the last event that was read of each log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cursor(BTreeMap<Key, u64>);

impl Cursor {
    /// The cursor that an id names.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(id).ok()?;
        let (version, mut rest) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let mut logs = BTreeMap::new();
        while let Some((key, after)) = rest.split_first_chunk::<KEY>() {
            let (seq, length) = u64::decode_var(after)?;
            logs.insert(*key, seq);
            rest = &after[length..];
        }
        rest.is_empty().then_some(Self(logs))
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> String {
        let mut bytes = vec![VERSION];
        for (key, seq) in &self.0 {
            bytes.extend_from_slice(key);
            bytes.extend(seq.encode_var_vec());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub(super) fn key(log: &Log) -> Key {
        let hash = xxh3_64_with_seed(log.node.as_bytes(), log.id.0).to_be_bytes();
        let mut key = [0; KEY];
        key.copy_from_slice(&hash[..KEY]);
        key
    }

    pub(super) fn get(&self, log: &Log) -> Option<u64> {
        self.0.get(&Self::key(log)).copied()
    }

    pub(super) fn set(&mut self, log: &Log, seq: u64) {
        self.0.insert(Self::key(log), seq);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_is_what_its_id_names(logs: BTreeMap<Key, u64>) {
            let cursor = Cursor(logs);
            prop_assert_eq!(Cursor::parse(&cursor.id()), Some(cursor));
        }

        #[test]
        fn any_text_is_a_cursor_or_none(text: String, bytes: Vec<u8>) {
            let _ = Cursor::parse(&text);
            let _ = Cursor::parse(&URL_SAFE_NO_PAD.encode(bytes));
        }
    }

    #[test]
    fn the_id_of_an_event_of_a_node_is_none() {
        assert_eq!(Cursor::parse("00000000000000ff-12"), None);
        assert_eq!(Cursor::parse(""), None);
    }
}

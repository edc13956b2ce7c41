//! A registration as the store keeps it: one record of bytes, with its length before it, so that many of them may
//! stand side by side in one value.

use std::sync::Arc;

use foldhash::HashMap;

use super::Stored;
use super::shapes::{KnownShapes, ShapeKeys};
use crate::registration::intern::Interner;
use crate::registration::{Attributes, Bytes, Decoded, Shape, Texts, write_text};

/// A record is not one that [`encode`] wrote.
#[derive(Debug, thiserror::Error)]
#[error("a record that is not a registration")]
pub(super) struct Malformed;

/// Makes registrations of records. What they have in common it makes once.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    accounts: Interner<Arc<str>>,
    texts: Texts,
    known: Arc<ShapeKeys>,
    /// Those that were met.
    shapes: HashMap<u32, Shape>,
}

/// What a record has beside what every record has.
const HAS_ACCOUNT: u8 = 1;
const HAS_REFRESHES: u8 = 2;

/// The record of a registration, of a store that has these shapes.
pub(super) fn encode(stored: &Stored, shapes: &KnownShapes) -> Vec<u8> {
    let mut record = vec![0; size_of::<u32>()];
    record.extend_from_slice(&stored.first_registration.to_be_bytes());
    let has_account = u8::from(stored.account.is_some()) * HAS_ACCOUNT;
    let has_refreshes = u8::from(stored.refreshes > 0) * HAS_REFRESHES;
    record.push(has_account | has_refreshes);
    if stored.refreshes > 0 {
        record.extend_from_slice(&stored.refreshes.to_be_bytes());
    }
    if let Some(account) = &stored.account {
        write_text(account.as_bytes(), &mut record);
    }
    write_text(stored.binding.key.table.as_bytes(), &mut record);
    let split = stored.binding.attributes.split();
    match split.and_then(|(shape, pieces)| Some((shapes.number(shape.key())?, pieces))) {
        Some((number, pieces)) => stored.binding.encode_shaped(number, pieces, &mut record),
        None => stored.binding.encode(&mut record),
    }
    let length = u32::try_from(record.len() - size_of::<u32>());
    let length = length.expect("a row is smaller than 4 GiB").to_le_bytes();
    record[..size_of::<u32>()].copy_from_slice(&length);
    record
}

impl Decoder {
    /// For records of a store that has these shapes.
    pub(super) fn of(known: Arc<ShapeKeys>) -> Self {
        Self {
            known,
            ..Self::default()
        }
    }

    /// The shapes that were met.
    pub(super) fn met(&self) -> impl Iterator<Item = u32> {
        self.shapes.keys().copied()
    }

    /// The registrations of records that stand side by side.
    pub(super) fn decode(
        &mut self,
        records: &[u8],
        registrations: &mut Vec<Stored>,
    ) -> Result<(), Malformed> {
        let mut rest = Bytes(records);
        while !rest.0.is_empty() {
            registrations.push(self.next(&mut rest).ok_or(Malformed)?);
        }
        Ok(())
    }

    fn next(&mut self, records: &mut Bytes<'_>) -> Option<Stored> {
        let length = u32::from_le_bytes(records.array()?);
        let mut record = Bytes(records.take(usize::try_from(length).ok()?)?);
        let first_registration = i64::from_be_bytes(record.array()?);
        let [has] = record.array()?;
        let refreshes = match has & HAS_REFRESHES {
            0 => 0,
            _ => u32::from_be_bytes(record.array()?),
        };
        let account = match has & HAS_ACCOUNT {
            0 => None,
            _ => Some(self.accounts.get(std::str::from_utf8(record.text()?).ok()?)),
        };
        let table = std::str::from_utf8(record.text()?).ok()?;
        let table = self.texts.table(table);
        let Decoded {
            cells,
            attributes,
            shaped,
        } = Decoded::of(record.0)?;
        let attributes = match shaped {
            Some((number, pieces)) => Attributes::of_shape(self.shape(number)?, pieces),
            None => self.texts.attributes(attributes),
        };
        let binding = cells.binding(&table, attributes, &mut self.texts);
        Some(Stored {
            binding: Arc::new(binding),
            first_registration,
            refreshes,
            account,
        })
    }

    fn shape(&mut self, number: u32) -> Option<Shape> {
        if let Some(shape) = self.shapes.get(&number) {
            return Some(shape.clone());
        }
        let shape = self.texts.shape(self.known.get(&number)?);
        self.shapes.insert(number, shape.clone());
        Some(shape)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registration::testing::any_binding;

    fn any_stored() -> impl Strategy<Value = Stored> {
        let account = proptest::option::of(".{0,8}");
        (any_binding(), any::<i64>(), any::<u32>(), account).prop_map(
            |(binding, first, refreshes, account)| Stored {
                binding: Arc::new(binding),
                first_registration: first,
                refreshes,
                account: account.as_deref().map(Arc::from),
            },
        )
    }

    proptest! {
        #[test]
        fn records_side_by_side_are_what_was_encoded(
            all in prop::collection::vec(any_stored(), 0..6),
            learned: prop::sample::Index,
        ) {
            // The shapes of the others stand in their records.
            let mut shapes = KnownShapes::default();
            let kept = shapes.learn(&all[..learned.index(all.len() + 1)]);
            let records: Vec<u8> = all.iter().flat_map(|one| encode(one, &shapes)).collect();
            let mut decoded = Vec::new();
            let mut decoder = Decoder::of(Arc::new(kept.into_iter().collect()));
            decoder.decode(&records, &mut decoded).expect("they were encoded");
            prop_assert_eq!(decoded, all);
        }

        #[test]
        fn a_record_of_a_shape_that_is_missing_is_malformed(one in any_stored()) {
            let mut shapes = KnownShapes::default();
            let is_shaped = !shapes.learn(std::slice::from_ref(&one)).is_empty();
            let record = encode(&one, &shapes);
            let decoded = Decoder::default().decode(&record, &mut Vec::new());
            prop_assert_eq!(decoded.is_err(), is_shaped);
        }

        #[test]
        fn what_was_cut_is_malformed(one in any_stored(), cut: prop::sample::Index) {
            let record = encode(&one, &KnownShapes::default());
            let part = &record[..=cut.index(record.len() - 1)];
            let is_whole = Decoder::default().decode(part, &mut Vec::new()).is_ok();
            prop_assert_eq!(is_whole, part.len() == record.len());
        }
    }
}

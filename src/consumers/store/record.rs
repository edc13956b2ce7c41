//! A registration as the store keeps it: one record of bytes, with its length before it, so that many of them may
//! stand side by side in one value.

use std::sync::Arc;

use super::Stored;
use crate::registration::intern::Interner;
use crate::registration::{Bytes, Decoded, Texts, write_text};

/// A record is not one that [`encode`] wrote.
#[derive(Debug, thiserror::Error)]
#[error("a record that is not a registration")]
pub(super) struct Malformed;

/// Makes registrations of records. What they have in common it makes once.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    accounts: Interner<Arc<str>>,
    texts: Texts,
}

/// What a record has beside what every record has.
const HAS_ACCOUNT: u8 = 1;
const HAS_REFRESHES: u8 = 2;

/// The record of a registration.
pub(super) fn encode(stored: &Stored) -> Vec<u8> {
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
    stored.binding.encode(&mut record);
    let length = u32::try_from(record.len() - size_of::<u32>());
    let length = length.expect("a row is smaller than 4 GiB").to_le_bytes();
    record[..size_of::<u32>()].copy_from_slice(&length);
    record
}

impl Decoder {
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
        let Decoded { cells, attributes } = Decoded::of(record.0)?;
        let attributes = self.texts.attributes(attributes);
        let binding = cells.binding(&table, attributes, &mut self.texts);
        Some(Stored {
            binding: Arc::new(binding),
            first_registration,
            refreshes,
            account,
        })
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
        fn records_side_by_side_are_what_was_encoded(all in prop::collection::vec(any_stored(), 0..6)) {
            let records: Vec<u8> = all.iter().flat_map(encode).collect();
            let mut decoded = Vec::new();
            Decoder::default().decode(&records, &mut decoded).expect("they were encoded");
            prop_assert_eq!(decoded, all);
        }

        #[test]
        fn what_was_cut_is_malformed(one in any_stored(), cut: prop::sample::Index) {
            let record = encode(&one);
            let part = &record[..=cut.index(record.len() - 1)];
            let is_whole = Decoder::default().decode(part, &mut Vec::new()).is_ok();
            prop_assert_eq!(is_whole, part.len() == record.len());
        }
    }
}

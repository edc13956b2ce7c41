//! A flush during which Kamailio was restarted: nothing that was seen is credible, and all is listed again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Flusher;
use super::answers::lookup::lookup;
use super::done::Done;
use super::turn::aor_lock::TableAor;
use crate::registration::Hidden;

impl Flusher {
    /// Reports everything that was flushed as unconfirmed, for this reason, and lists it again, except for what the
    /// restarted Kamailio was asked to remove as well.
    pub(super) async fn take_back(&self, done: &mut Done, reason: &str) {
        let hidden = std::mem::take(&mut done.hidden);
        let (gone, back) = self.without_contacts(hidden).await;
        self.parts.registry.unhide(back.iter().map(|one| &one.key));
        self.unhide_in_store(&back).await;
        done.hidden = gone;
        done.take_back_all(reason);
    }

    /// The rows whose address of record Kamailio knows without a contact in force, and the others. A Kamailio that does
    /// not know it may still be loading its table.
    async fn without_contacts(&self, rows: Vec<Hidden>) -> (Vec<Hidden>, Vec<Hidden>) {
        let (mut gone, mut others) = (Vec::new(), Vec::new());
        let mut asked: BTreeMap<TableAor, bool> = BTreeMap::new();
        let mut answers = true;
        for row in rows {
            let registration = self.parts.registry.get(&row.key).filter(|_| answers);
            let Some(registration) = registration else {
                others.push(row);
                continue;
            };
            let aor = registration.binding.address_of_record().name().clone();
            let table_aor = (Arc::clone(&row.key.table), aor);
            let has_none = if let Some(has_none) = asked.get(&table_aor) {
                *has_none
            } else {
                let (table, aor) = &table_aor;
                let looked = lookup(&self.parts.kamailio, table, aor, Vec::new).await;
                answers = looked.is_ok();
                let memory = looked.ok().flatten();
                let has_none = memory.is_some_and(|it| it.is_known && it.contacts.is_empty());
                asked.insert(table_aor, has_none);
                has_none
            };
            if has_none { &mut gone } else { &mut others }.push(row);
        }
        (gone, others)
    }
}

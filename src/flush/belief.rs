//! Whether "not found" is believed.
//!
//! Kamailio says so of a binding that is gone, but also of every one while it still loads its table, and a Kamailio
//! that has nothing to do with the table says so always.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::OnceCell;

use super::aor::Memory;
use super::targets::Target;
use super::turns::Place;
use crate::kamailio::{Fault, Kamailio};
use crate::view::{Scope, View};

/// How long Kamailio must have been up: until then it may still be loading.
const LOADED_AFTER: Duration = Duration::from_secs(30);

/// How many other registrations Kamailio is asked about, to see that the table is its own.
const SAMPLES: usize = 8;

const LOADING: &str =
    "Kamailio does not know the contact but has just started and may still be loading";
const STRANGE: &str = "Kamailio knows nothing of the table that is read; is [kamailio] jsonrpc that of another Kamailio? \
     Nothing is hidden; if it has just registered, ask again";

/// What is known about a Kamailio, asked once for each flush and only when it matters.
#[derive(Debug)]
pub(super) struct Belief<'a> {
    kamailio: &'a Kamailio,
    view: &'a View,
    flushed: BTreeSet<Place>,
    /// Whether it has known something of the table.
    knows: AtomicBool,
    well_up: OnceCell<bool>,
    makes_sense: OnceCell<bool>,
}

impl<'a> Belief<'a> {
    pub(super) fn new(kamailio: &'a Kamailio, view: &'a View, targets: &[Target]) -> Self {
        Self {
            kamailio,
            view,
            flushed: targets.iter().map(Target::place).collect(),
            knows: AtomicBool::new(false),
            well_up: OnceCell::new(),
            makes_sense: OnceCell::new(),
        }
    }

    /// Takes note of what Kamailio said of an address of record.
    pub(super) fn saw(&self, memory: &Memory) {
        if memory.is_known {
            self.knows.store(true, Ordering::Relaxed);
        }
    }

    /// Why "not found" is not believed; `None` where it is.
    pub(super) async fn doubt(&self) -> Result<Option<&'static str>, Fault> {
        let well_up = || async { Ok(self.kamailio.uptime().await? >= LOADED_AFTER) };
        if !*self.well_up.get_or_try_init(well_up).await? {
            return Ok(Some(LOADING));
        }
        if self.knows.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let sense = || self.knows_others();
        let sense = *self.makes_sense.get_or_try_init(sense).await?;
        Ok((!sense).then_some(STRANGE))
    }

    /// Whether Kamailio knows one of the registrations that are not flushed; where there is none, whether it has none
    /// at all.
    async fn knows_others(&self) -> Result<bool, Fault> {
        let mut others = self.view.list(Scope::System).registrations;
        others.retain(|one| {
            let binding = &one.binding;
            let place = (binding.key.table.clone(), binding.address_of_record());
            !self.flushed.contains(&place)
        });
        others.sort_by_key(|one| std::cmp::Reverse(one.binding.last_modified));
        if others.is_empty() {
            return self.has_none().await;
        }
        for one in others.iter().take(SAMPLES) {
            let (table, aor) = (&one.binding.key.table, one.binding.address_of_record());
            if Memory::of(self.kamailio.lookup(table, &aor).await?).is_known {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether Kamailio counts no contact in memory; it counts none where it keeps them in the database alone.
    async fn has_none(&self) -> Result<bool, Fault> {
        let every_table = ["usrloc:".into()];
        let counts = match self.kamailio.call("stats.fetchn", &every_table).await {
            Err(Fault::Rpc { .. }) => return Ok(true),
            other => other?,
        };
        let contacts = counts.as_object().into_iter().flatten();
        let contacts = contacts.filter(|(name, _)| name.ends_with("_contacts"));
        Ok(contacts
            .filter_map(|(_, count)| Value::as_u64(count))
            .sum::<u64>()
            == 0)
    }
}

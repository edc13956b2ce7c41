//! One address of record: remove, and confirm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::targets::Target;
use super::{Failure, Round};
use crate::kamailio::{Contact, Fault, Lookup, Removed};
use crate::registration::{Registration, Text};

const STILL_THERE: &str = "Kamailio still has the contact after removing it";
const NOT_SINGLY: &str = "Kamailio cannot remove a single contact of a user (its usrloc has a matching_mode other \
     than 0); flush the whole user";
const APPEARED: &str = "the contact appeared while it was being flushed; flush it again";

/// What became of a target.
#[derive(Debug, Default)]
pub(super) struct Flushed {
    /// What Kamailio does not have any more, and is to be hidden.
    pub(super) gone: Vec<Arc<Registration>>,
    /// How many were removed as well, but came back by a REGISTER in between; they stay listed.
    pub(super) back: u64,
    /// The ruids of all that Kamailio had and does not have any more, where all contacts were meant.
    pub(super) vanished: Vec<Text>,
    pub(super) failure: Option<Failure>,
}

/// What Kamailio's memory has of an address of record.
#[derive(Debug)]
pub(super) struct Memory {
    /// Whether it knows the address of record, be it without a contact.
    pub(super) is_known: bool,
    /// The contacts that are in force, by ruid.
    pub(super) contacts: BTreeMap<Text, Contact>,
}

impl Flushed {
    pub(super) fn failed(failure: Failure) -> Self {
        Self {
            failure: Some(failure),
            ..Self::default()
        }
    }
}

impl Memory {
    pub(super) fn of(lookup: Lookup) -> Self {
        let is_known = lookup != Lookup::NotFound;
        let contacts = match lookup {
            Lookup::Found(contacts) => contacts,
            Lookup::NoContacts | Lookup::NotFound => Vec::new(),
        };
        let in_force = contacts.into_iter().filter(Contact::is_live);
        Self {
            is_known,
            contacts: in_force
                .map(|contact| (contact.ruid.0.clone(), contact))
                .collect(),
        }
    }
}

impl Target {
    /// Removes what was picked from Kamailio and finds out whether it is gone.
    pub(super) async fn remove(&self, round: &Round<'_>) -> Result<Flushed, Fault> {
        let before = self.look(round).await?;
        let all = self.whole && !round.exactly;
        let kept = if all {
            round.kamailio.remove(&self.table, &self.aor).await?;
            BTreeSet::new()
        } else {
            self.remove_singly(round, &before).await?
        };
        let after = self.look(round).await?;
        let mut flushed = Flushed::default();
        for one in &self.picked {
            self.judge(one, &before, &after, &kept, round, &mut flushed)
                .await?;
        }
        if all {
            self.judge_rest(&before, &after, &mut flushed);
        }
        Ok(flushed)
    }

    async fn look(&self, round: &Round<'_>) -> Result<Memory, Fault> {
        let lookup = round.kamailio.lookup(&self.table, &self.aor).await?;
        let memory = Memory::of(lookup);
        round.belief.saw(&memory);
        Ok(memory)
    }

    /// Removes the picked contacts one by one; returns those that Kamailio did not find.
    ///
    /// With a `matching_mode` other than 0 it finds none (`ul.rm_contact` gives a Call-ID and a Path of its own). If
    /// the picked ones are all that the user has, all can be removed at once; else nothing is: it would be more than
    /// was asked for.
    async fn remove_singly(
        &self,
        round: &Round<'_>,
        before: &Memory,
    ) -> Result<BTreeSet<&Text>, Fault> {
        let picked = self.picked.iter().map(|one| &one.binding.contact);
        let picked: BTreeSet<&Text> = picked.collect();
        let mut kept = BTreeSet::new();
        for contact in &picked {
            let kamailio = round.kamailio;
            let removed = kamailio.remove_contact(&self.table, &self.aor, contact);
            if removed.await? != Removed::Done {
                kept.insert(*contact);
            }
        }
        let had = |contact: &&Text| before.contacts.values().any(|one| one.address == **contact);
        let mut all = before.contacts.values();
        if kept.iter().any(had) && self.whole && all.all(|one| picked.contains(&one.address)) {
            round.kamailio.remove(&self.table, &self.aor).await?;
            kept.clear();
        }
        Ok(kept)
    }

    /// Decides what became of one that was picked.
    async fn judge(
        &self,
        one: &Arc<Registration>,
        before: &Memory,
        after: &Memory,
        kept: &BTreeSet<&Text>,
        round: &Round<'_>,
        flushed: &mut Flushed,
    ) -> Result<(), Fault> {
        let ruid = &one.binding.key.ruid.0;
        let there = after.contacts.get(ruid);
        let problem = match (before.contacts.get(ruid), there) {
            (Some(_), Some(_)) if kept.contains(&one.binding.contact) => Some(NOT_SINGLY),
            // It was there, and if it is there again then by a REGISTER that came in between.
            (Some(before), Some(after)) => (!is_newer(after, before)).then_some(STILL_THERE),
            (Some(_), None) => None,
            (None, Some(_)) => round.belief.doubt().await?.map(|_| APPEARED),
            (None, None) => round.belief.doubt().await?,
        };
        match problem {
            None if there.is_some() => flushed.back += 1,
            None => flushed.gone.push(Arc::clone(one)),
            Some(reason) => flushed.failure = Some(self.unconfirmed(reason)),
        }
        Ok(())
    }

    /// What was not picked must be gone as well where all contacts were meant; it is not counted.
    fn judge_rest(&self, before: &Memory, after: &Memory, flushed: &mut Flushed) {
        for (ruid, before) in &before.contacts {
            match after.contacts.get(ruid) {
                Some(after) if !is_newer(after, before) => {
                    flushed.failure = Some(self.unconfirmed(STILL_THERE));
                }
                Some(_) => {}
                None => flushed.vanished.push(ruid.clone()),
            }
        }
    }
}

/// Whether `after` comes from another REGISTER than `before`.
fn is_newer(after: &Contact, before: &Contact) -> bool {
    (&after.call_id, after.cseq) != (&before.call_id, before.cseq)
}

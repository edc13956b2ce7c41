//! One address of record: remove, and confirm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Failure;
use super::removal::Unremoved;
use super::targets::{Target, contacts_of};
use super::work::Round;
use crate::kamailio::{Contact, Fault, Lookup, Removed};
use crate::registration::{Registration, Text};

const STILL_THERE: &str = "Kamailio still has the contact after removing it";
const NOT_SINGLY: &str = "Kamailio cannot remove a single contact of a user (its usrloc has a matching_mode other \
     than 0); flush the whole user";
const APPEARED: &str = "the contact appeared while it was being flushed; flush it again";
const NOT_ALONE: &str = "the contact cannot be removed without another one that was not asked for";

/// What became of a target.
#[derive(Debug, Default)]
pub(super) struct Flushed {
    /// What Kamailio does not have any more, and is to be hidden.
    pub(super) gone: Vec<Arc<Registration>>,
    /// How many were removed as well, but came back by a REGISTER in between; they stay listed.
    pub(super) back: u64,
    /// The ruids of all that Kamailio had and does not have any more, where all contacts were meant.
    pub(super) vanished: Vec<Text>,
    /// The ruids of what Kamailio has after all.
    pub(super) alive: BTreeSet<Text>,
    /// The rows that were the account's just before it was removed.
    pub(super) rows: Vec<Arc<Registration>>,
    /// When it was removed, Unix seconds: a REGISTER of a later second came after that.
    pub(super) at: i64,
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

/// What is left of contacts that were to be removed one by one.
#[derive(Debug, Default)]
struct Left<'a> {
    /// Kamailio did not find them.
    not_found: BTreeSet<&'a Text>,
    /// They were not touched.
    not_alone: BTreeSet<&'a Text>,
    /// Nor these: the caller may not any more.
    withdrawn: BTreeSet<&'a Text>,
    /// Nor these: they are not the account's any more.
    anothers: BTreeSet<&'a Text>,
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

    /// How often it has a contact.
    fn count(&self, contact: &Text) -> usize {
        let same = |one: &&Contact| one.address == *contact;
        self.contacts.values().filter(same).count()
    }
}

impl Target {
    /// Removes what was picked from Kamailio and finds out whether it is gone; `None` where nothing that was picked is
    /// the account's and all there is may be another account's.
    pub(super) async fn remove(&mut self, round: &Round<'_>) -> Result<Option<Flushed>, Fault> {
        let before = self.look(round).await?;
        // Meanwhile tokens and owners may have changed.
        if !round.warrant.holds() {
            return Ok(Some(Flushed::failed(self.withdrawn())));
        }
        let rows = self.keep_own(round);
        let all = !round.exactly
            && round.warrant.covers(self.domain.as_ref())
            && self.is_alone(&before, round);
        if !all && self.picked.is_empty() {
            return Ok(None);
        }
        let removed = if all {
            let removed = round.remove(&self.table, &self.aor, before.contacts.len());
            removed.await.map(|()| Left::default())
        } else {
            self.remove_singly(round, &before).await
        };
        let left = match removed {
            Ok(left) => left,
            Err(why) => return self.unremoved(why).map(Flushed::failed).map(Some),
        };
        let at = round.parts.clock.unix_seconds();
        let after = self.look(round).await?;
        let mut flushed = Flushed {
            rows,
            at,
            ..Flushed::default()
        };
        for one in &self.picked {
            self.judge(one, &before, &after, &left, round, &mut flushed)
                .await?;
        }
        if all {
            self.judge_rest(&before, &after, &mut flushed);
            round.learn(&flushed.rows, &before, &after);
        }
        flushed.alive = after.contacts.into_keys().collect();
        Ok(Some(flushed))
    }

    async fn look(&self, round: &Round<'_>) -> Result<Memory, Fault> {
        let lookup = round.lookup(&self.table, &self.aor).await?;
        let memory = Memory::of(lookup);
        round.belief.saw(&memory);
        Ok(memory)
    }

    /// Whether nothing of the address of record is known to be another account's.
    fn is_alone(&self, memory: &Memory, round: &Round<'_>) -> bool {
        let rows = !round.account.is_some_and(|account| {
            let (username, domain) = (&self.username, self.domain.as_ref());
            let view = &round.parts.view;
            view.is_anothers(account, &self.table, username, domain)
        });
        rows && !memory
            .contacts
            .keys()
            .any(|ruid| self.is_anothers(ruid, round))
    }

    /// Whether the row of this ruid, listed or not, is another account's.
    fn is_anothers(&self, ruid: &Text, round: &Round<'_>) -> bool {
        let row = round.parts.view.get(&self.key(ruid));
        row.is_some_and(|row| !round.is_own(&row))
    }

    /// Removes the picked contacts one by one; returns those that are left.
    ///
    /// With a `matching_mode` other than 0 Kamailio finds none (`ul.rm_contact` gives a Call-ID and a Path of its own).
    /// If the picked ones are all that the user has at that moment, all can be removed at once; else nothing is: it
    /// would be more than was asked for.
    async fn remove_singly(
        &self,
        round: &Round<'_>,
        before: &Memory,
    ) -> Result<Left<'_>, Unremoved> {
        let picked = contacts_of(&self.picked);
        let mut left = Left::default();
        for contact in &picked {
            if !round.warrant.holds() {
                left.withdrawn.insert(*contact);
            } else if !self.is_own(contact, round) {
                left.anothers.insert(*contact);
            } else if self.is_shared(contact, before, round) {
                left.not_alone.insert(*contact);
            } else if !self.remove_contact(contact, before, round).await? {
                left.not_found.insert(*contact);
            }
        }
        if left.not_found.iter().any(|one| before.count(one) > 0) {
            let now = self.look(round).await?;
            let rows = self.rows(&round.parts.view);
            let is_all = now
                .contacts
                .values()
                .all(|one| picked.contains(&one.address))
                && rows.iter().all(|one| picked.contains(&one.binding.contact))
                && self.is_alone(&now, round);
            if is_all && round.warrant.holds() {
                let contacts = now.contacts.len();
                round.remove(&self.table, &self.aor, contacts).await?;
                left.not_found.clear();
            } else if is_all {
                left.withdrawn.append(&mut left.not_found);
            }
        }
        Ok(left)
    }

    /// Whether the contact is the account's still.
    fn is_own(&self, contact: &Text, round: &Round<'_>) -> bool {
        let mut same = self
            .picked
            .iter()
            .filter(|one| one.binding.contact == *contact);
        same.any(|one| !self.is_anothers(&one.binding.key.ruid.0, round))
    }

    /// Whether the same contact is another account's as well, so that Kamailio would take either.
    fn is_shared(&self, contact: &Text, before: &Memory, round: &Round<'_>) -> bool {
        let mut same = before
            .contacts
            .iter()
            .filter(|(_, one)| one.address == *contact);
        same.any(|(ruid, _)| self.is_anothers(ruid, round))
    }

    /// Removes a contact as often as Kamailio has it (phones behind one address may share it); whether it found one.
    async fn remove_contact(
        &self,
        contact: &Text,
        before: &Memory,
        round: &Round<'_>,
    ) -> Result<bool, Unremoved> {
        let mut found = false;
        for _ in 0..before.count(contact).max(1) {
            let removed = round.remove_contact(&self.table, &self.aor, contact);
            if removed.await? != Removed::Done {
                break;
            }
            found = true;
        }
        Ok(found)
    }

    /// Decides what became of one that was picked.
    async fn judge(
        &self,
        one: &Arc<Registration>,
        before: &Memory,
        after: &Memory,
        left: &Left<'_>,
        round: &Round<'_>,
        flushed: &mut Flushed,
    ) -> Result<(), Fault> {
        let (key, contact) = (&one.binding.key, &one.binding.contact);
        if left.anothers.contains(contact) {
            return Ok(());
        }
        if left.withdrawn.contains(contact) {
            flushed.failure = Some(self.withdrawn());
            return Ok(());
        }
        let there = after.contacts.get(&key.ruid.0);
        let problem = match (before.contacts.get(&key.ruid.0), there) {
            (Some(_), Some(_)) if left.not_alone.contains(contact) => Some(NOT_ALONE),
            (Some(_), Some(_)) if left.not_found.contains(contact) => Some(NOT_SINGLY),
            // It was there, and if it is there again then by a REGISTER that came in between.
            (Some(before), Some(after)) => (!is_newer(after, before)).then_some(STILL_THERE),
            (Some(_), None) => None,
            // It had been removed and has registered again, or Kamailio has just loaded it.
            (None, Some(_)) if !before.is_known => Some(APPEARED),
            (None, Some(_)) => round.belief.doubt().await?.map(|_| APPEARED),
            // The table has let go of it as well: it went by itself.
            (None, None) if round.parts.view.get(key).is_none() => return Ok(()),
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

/// Whether `after` comes from a later REGISTER than `before`.
fn is_newer(after: &Contact, before: &Contact) -> bool {
    after.call_id != before.call_id || after.cseq > before.cseq
}

//! Removing contacts one by one, where not all of an address of record may go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::flush::answers::memory::{Memory, is_newer};
use crate::flush::failure::NotFlushed;
use crate::flush::steps::removal::answered;
use crate::flush::steps::run::Run;
use crate::flush::target::{Target, contacts_of};
use crate::kamailio::{Fault, Removed};
use crate::registration::{Registration, Text};

/// The pause before a contact that a removed one covers is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// The contacts that are left of those that were to be removed one by one.
pub(in crate::flush) type Left<'a> = BTreeMap<&'a Text, Why>;

/// Why a contact is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::flush) enum Why {
    /// Kamailio did not find it.
    NotFound,
    /// Not attempted: it shares its URI with one that was not chosen.
    NotAlone,
    /// Not attempted: the caller may not flush the account any more.
    Withdrawn,
    /// Not attempted: it is not the account's any more.
    Anothers,
    /// Kamailio says that it has removed it, and has found another one first.
    Covered,
}

impl Run<'_> {
    /// Removes the picked contacts one by one; returns those that are left, and what Kamailio has then.
    ///
    /// With a `matching_mode` other than 0 Kamailio finds none (`ul.rm_contact` sends a Call-ID and a Path of its own).
    /// Where the chosen ones are all that the user has at that moment, all are removed at once; otherwise nothing is,
    /// since that would be more than was asked for.
    pub(in crate::flush) async fn remove_singly<'t>(
        &self,
        target: &'t Target,
        before: &Memory,
    ) -> Result<(Left<'t>, Memory), NotFlushed> {
        let chosen = self.chosen(target);
        let mut left = Left::default();
        for contact in contacts_of(&target.picked) {
            let why = self.remove_one(target, contact, before, &chosen).await?;
            left.extend(why.map(|why| (contact, why)));
        }
        let mut now = self.look_at_rest(target).await?;
        // In write-back Kamailio keeps what it has removed until its timer runs, and finds that first where another
        // contact has the same URI.
        while let Some(rest) = rest(target, &left, before, &now) {
            if self.is_all(target, &chosen, &now) {
                if self.caller.authorization.holds() {
                    let contacts = now.contacts.len();
                    let removed = answered(self.removals.remove_all(target, contacts).await)?;
                    left.retain(|contact, _| !rest.contains(contact));
                    now = self.look_at_rest(target).await?;
                    if removed.is_none() && !now.contacts.is_empty() {
                        return Err(Fault::Timeout.into());
                    }
                } else {
                    left.extend(rest.into_iter().map(|contact| (contact, Why::Withdrawn)));
                }
                break;
            }
            let is_covered = |one: &&Text| !left.contains_key(one);
            let covered: Vec<&Text> = rest.into_iter().filter(is_covered).collect();
            if covered.is_empty() || !self.retries.take() {
                left.extend(covered.into_iter().map(|contact| (contact, Why::Covered)));
                break;
            }
            tokio::time::sleep(PAUSE).await;
            for contact in covered {
                let why = self.remove_one(target, contact, &now, &chosen).await?;
                left.extend(why.map(|why| (contact, why)));
            }
            now = self.look_at_rest(target).await?;
        }
        Ok((left, now))
    }

    /// Removes the picked contacts of an address of record whose contacts are too many to look at. Those that Kamailio
    /// finds one by one it must have had.
    pub(in crate::flush) async fn remove_unseen(
        &self,
        target: &Target,
    ) -> Result<Memory, NotFlushed> {
        let mut times: BTreeMap<&Text, usize> = BTreeMap::new();
        for row in &target.picked {
            *times.entry(&row.binding.contact).or_default() += 1;
        }
        let mut found = BTreeSet::new();
        for contact in times.keys() {
            if !self.caller.authorization.holds() {
                break;
            }
            let none = Memory::default();
            if self.remove_contact(target, contact, &none).await? {
                found.insert(*contact);
            }
        }
        // Of several with the same URI it is not known which one was found.
        let is_found = |one: &&Arc<Registration>| {
            let contact = &one.binding.contact;
            found.contains(contact) && times.get(contact) == Some(&1)
        };
        let found = target.picked.iter().filter(is_found).map(|one| &**one);
        Ok(Memory::of_found(found))
    }

    /// Whether nothing of the address of record is known to be another account's, or may be: of a contact that has no row
    /// yet nobody can tell whose it is where accounts share the domain. `memory` is what Kamailio has, if that is known.
    pub(in crate::flush) fn is_alone(&self, target: &Target, memory: Option<&Memory>) -> bool {
        let Some(account) = self.caller.account else {
            return true;
        };
        let registry = &self.parts.registry;
        let (username, domain) = (&target.username, target.domain.as_ref());
        let is_anothers = |ruid: &Text| target.is_anothers(ruid, self.caller, registry);
        if registry.is_anothers(account, &target.table, username, domain)
            || memory.is_some_and(|memory| memory.contacts.keys().any(is_anothers))
        {
            return false;
        }
        let has_row = |ruid: &Text| registry.get(&target.key(ruid)).is_some();
        let all_have_rows = memory.is_some_and(|memory| memory.contacts.keys().all(has_row));
        all_have_rows || !registry.shares_domain(account, domain)
    }

    /// Removes a picked contact, unless another one would go with it; why it is left.
    async fn remove_one(
        &self,
        target: &Target,
        contact: &Text,
        memory: &Memory,
        chosen: &BTreeSet<Text>,
    ) -> Result<Option<Why>, NotFlushed> {
        Ok(if !self.caller.authorization.holds() {
            Some(Why::Withdrawn)
        } else if !self.is_own(target, contact) {
            Some(Why::Anothers)
        } else if memory.shares(contact, chosen) {
            Some(Why::NotAlone)
        } else {
            let removed = self.remove_contact(target, contact, memory).await;
            let Some(found) = answered(removed)? else {
                self.confirm_gone(target, contact, memory).await?;
                return Ok(None);
            };
            (!found).then_some(Why::NotFound)
        })
    }

    /// Fails with the time-out where Kamailio still has a contact whose removal it did not answer: the removal may still
    /// be under way, and no other may begin beside it.
    async fn confirm_gone(
        &self,
        target: &Target,
        contact: &Text,
        before: &Memory,
    ) -> Result<(), NotFlushed> {
        let now = self.look_at_rest(target).await?;
        let is_there = |one: &Arc<Registration>| {
            let ruid = &one.binding.key.ruid.0;
            let former = before.contacts.get(ruid);
            let there = now.contacts.get(ruid);
            one.binding.contact == *contact
                && there.is_some_and(|there| former.is_none_or(|one| !is_newer(there, one)))
        };
        if target.picked.iter().any(is_there) {
            return Err(Fault::Timeout.into());
        }
        Ok(())
    }

    /// Removes a contact as often as Kamailio has it (phones behind one address may share it); whether it found one.
    async fn remove_contact(
        &self,
        target: &Target,
        contact: &Text,
        before: &Memory,
    ) -> Result<bool, NotFlushed> {
        let mut found = false;
        for _ in 0..before.count(contact).max(1) {
            if self.removals.remove_contact(target, contact).await? != Removed::Done {
                break;
            }
            found = true;
        }
        Ok(found)
    }

    /// Whether the contact is still the account's.
    fn is_own(&self, target: &Target, contact: &Text) -> bool {
        let registry = &self.parts.registry;
        let mut same = target
            .picked
            .iter()
            .filter(|one| one.binding.contact == *contact);
        same.any(|one| !target.is_anothers(&one.binding.key.ruid.0, self.caller, registry))
    }

    /// The ruids of what was picked and is still the account's, and of its duplicates.
    fn chosen(&self, target: &Target) -> BTreeSet<Text> {
        let rows = target.rows(self.parts);
        let is_chosen = |row: &&Arc<Registration>| {
            self.caller.owns(row) && target.picked.iter().any(|one| counts_once_with(one, row))
        };
        rows.iter()
            .filter(is_chosen)
            .map(|row| row.binding.key.ruid.0.clone())
            .collect()
    }

    /// Whether what was chosen is all that Kamailio and the table have of the address of record.
    fn is_all(&self, target: &Target, chosen: &BTreeSet<Text>, now: &Memory) -> bool {
        let registry = &self.parts.registry;
        let listed = target.listed(registry);
        let mut rows = target
            .rows(self.parts)
            .into_iter()
            .map(|row| row.binding.key.clone());
        now.contacts.keys().all(|ruid| chosen.contains(ruid))
            && rows.all(|key| chosen.contains(&key.ruid.0) || !listed.contains(&key))
            && self.is_alone(target, Some(now))
    }
}

/// The picked contacts that Kamailio still has and that may be tried again; `None` where there is none.
fn rest<'t>(
    target: &'t Target,
    left: &Left<'_>,
    before: &Memory,
    now: &Memory,
) -> Option<BTreeSet<&'t Text>> {
    let is_left = |one: &&Arc<Registration>| {
        let ruid = &one.binding.key.ruid.0;
        let may_go = matches!(left.get(&one.binding.contact), None | Some(Why::NotFound));
        let there = now.contacts.get(ruid);
        let former = before.contacts.get(ruid);
        may_go && there.is_some_and(|there| former.is_some_and(|one| !is_newer(there, one)))
    };
    let rest = target.picked.iter().filter(is_left);
    let rest: BTreeSet<&Text> = rest.map(|one| &one.binding.contact).collect();
    (!rest.is_empty()).then_some(rest)
}

/// Whether two rows count once: they are equal in all that tells bindings apart but for the ruid.
fn counts_once_with(one: &Registration, other: &Registration) -> bool {
    let (one, other) = (&one.binding, &other.binding);
    one.key == other.key
        || (one.contact == other.contact
            && one.instance == other.instance
            && one.reg_id == other.reg_id
            && one.path == other.path
            && one.received == other.received
            && one.call_id == other.call_id)
}

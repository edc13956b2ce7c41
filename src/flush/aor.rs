//! One address of record: remove, and confirm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Failure;
use super::look::Sight;
use super::memory::Memory;
use super::removal::Unremoved;
use super::targets::{Target, contacts_of};
use super::work::Round;
use crate::kamailio::{Contact, Fault, Removed};
use crate::registration::{Key, Registration, Text};

const STILL_THERE: &str = "Kamailio still has the contact after removing it";
const NOT_SINGLY: &str = "Kamailio cannot remove a single contact of a user (its usrloc has a matching_mode other \
     than 0); flush the whole user";
const APPEARED: &str = "the contact appeared while it was being flushed; flush it again";
const NOT_ALONE: &str = "not removed: Kamailio's ul.rm_contact goes by the contact URI, which another contact that \
     was not chosen shares; choose both, or flush the whole user";
const COVERED: &str = "Kamailio still has the contact after removing it; where another contact with the same URI was \
     removed, Kamailio finds that one first until its next write-back: ask again after that";
const CAPITALS: &str = "Kamailio does not know the contact, but unless the registrar's case_sensitive is 1 it reads \
     this name in lower case; load the module cfg_rpc so that it can be asked, or wait until the registration expires";

/// The pause before a contact is tried again that a removed one covers.
const PAUSE: Duration = Duration::from_millis(500);

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
    /// Those of them that a list showed.
    pub(super) listed: BTreeSet<Key>,
    /// When it was removed, Unix seconds: a REGISTER of a later second came after that.
    pub(super) at: i64,
    pub(super) failure: Option<Failure>,
}

/// What is left of contacts that were to be removed one by one, by URI.
type Left<'a> = BTreeMap<&'a Text, Why>;

/// Why a contact is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    /// Kamailio did not find it.
    NotFound,
    /// It was not touched: it shares its URI with one that was not chosen.
    NotAlone,
    /// Nor was this one: the caller may not any more.
    Withdrawn,
    /// Nor this one: it is not the account's any more.
    Anothers,
    /// Kamailio has said that it removed it.
    Covered,
}

impl Flushed {
    pub(super) fn failed(failure: Failure) -> Self {
        Self {
            failure: Some(failure),
            ..Self::default()
        }
    }
}

impl Target {
    /// Removes what was picked from Kamailio and finds out whether it is gone; `None` where nothing that was picked is
    /// the account's and all there is may be another account's.
    pub(super) async fn remove(&mut self, round: &Round<'_>) -> Result<Option<Flushed>, Fault> {
        match self.try_to_remove(round).await {
            Ok(flushed) => Ok(flushed),
            Err(why) => self.unremoved(why).map(Flushed::failed).map(Some),
        }
    }

    async fn try_to_remove(&mut self, round: &Round<'_>) -> Result<Option<Flushed>, Unremoved> {
        let before = self.look_first(round).await?;
        // Meanwhile tokens and owners may have changed.
        if !round.warrant.holds() {
            return Ok(Some(Flushed::failed(self.withdrawn())));
        }
        let rows = self.keep_own(round);
        let listed = self.listed(&round.parts.registry);
        let may_have_all = !round.exactly && round.warrant.covers(self.domain.as_ref());
        let (before, all) = match before {
            Sight::Seen(before) => {
                let all = may_have_all && self.is_alone(&before, round);
                (before, all)
            }
            Sight::TooLong if may_have_all && self.is_alone(&Memory::default(), round) => {
                let before = self.remove_unseen(round).await?;
                if !round.warrant.holds() {
                    return Ok(Some(Flushed::failed(self.withdrawn())));
                }
                (before, true)
            }
            Sight::TooLong if self.picked.is_empty() => return Ok(None),
            Sight::TooLong => return Ok(Some(Flushed::failed(self.too_long(round)))),
            Sight::Misread => return Ok(Some(Flushed::failed(self.misread()))),
        };
        if !all && self.picked.is_empty() {
            return Ok(None);
        }
        let (left, after) = if all {
            let contacts = before.contacts.len();
            round.remove(&self.table, &self.aor, contacts).await?;
            (Left::default(), None)
        } else {
            let (left, after) = self.remove_singly(round, &before).await?;
            (left, Some(after))
        };
        let at = round.parts.clock.unix_seconds();
        let after = match after {
            Some(after) => after,
            None => match self.look(round).await? {
                Sight::Seen(after) => after,
                Sight::TooLong => return Ok(Some(Flushed::failed(self.too_long(round)))),
                Sight::Misread => return Ok(Some(Flushed::failed(self.misread()))),
            },
        };
        let mut flushed = Flushed {
            rows,
            listed,
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

    /// Whether nothing of the address of record is known to be another account's.
    fn is_alone(&self, memory: &Memory, round: &Round<'_>) -> bool {
        let rows = !round.account.is_some_and(|account| {
            let (username, domain) = (&self.username, self.domain.as_ref());
            let registry = &round.parts.registry;
            registry.is_anothers(account, &self.table, username, domain)
        });
        rows && !memory
            .contacts
            .keys()
            .any(|ruid| self.is_anothers(ruid, round))
    }

    /// Whether the row of this ruid, listed or not, is another account's.
    fn is_anothers(&self, ruid: &Text, round: &Round<'_>) -> bool {
        let row = round.parts.registry.get(&self.key(ruid));
        row.is_some_and(|row| !round.is_own(&row))
    }

    /// Removes the picked contacts one by one; returns those that are left, and what Kamailio has then.
    ///
    /// With a `matching_mode` other than 0 Kamailio finds none (`ul.rm_contact` gives a Call-ID and a Path of its own).
    /// If the chosen ones are all that the user has at that moment, all can be removed at once; else nothing is: it
    /// would be more than was asked for.
    async fn remove_singly(
        &self,
        round: &Round<'_>,
        before: &Memory,
    ) -> Result<(Left<'_>, Memory), Unremoved> {
        let chosen = self.chosen(round);
        let mut left = Left::default();
        for contact in contacts_of(&self.picked) {
            let why = self.remove_one(contact, before, &chosen, round).await?;
            left.extend(why.map(|why| (contact, why)));
        }
        let mut now = self.look_at_rest(round).await?;
        // In write-back Kamailio keeps what it has removed until its timer runs, and finds that first where another
        // contact has the same URI.
        while let Some(rest) = self.rest(&left, before, &now) {
            if self.is_all(&chosen, &now, round) {
                if round.warrant.holds() {
                    let contacts = now.contacts.len();
                    round.remove(&self.table, &self.aor, contacts).await?;
                    left.retain(|contact, _| !rest.contains(contact));
                    now = self.look_at_rest(round).await?;
                } else {
                    left.extend(rest.into_iter().map(|contact| (contact, Why::Withdrawn)));
                }
                break;
            }
            let is_covered = |one: &&Text| !left.contains_key(one);
            let covered: Vec<&Text> = rest.into_iter().filter(is_covered).collect();
            if covered.is_empty() || !round.may_try_again() {
                left.extend(covered.into_iter().map(|contact| (contact, Why::Covered)));
                break;
            }
            tokio::time::sleep(PAUSE).await;
            for contact in covered {
                let why = self.remove_one(contact, &now, &chosen, round).await?;
                left.extend(why.map(|why| (contact, why)));
            }
            now = self.look_at_rest(round).await?;
        }
        Ok((left, now))
    }

    /// Removes a picked contact, unless something else would go with it; why it is left.
    async fn remove_one(
        &self,
        contact: &Text,
        memory: &Memory,
        chosen: &BTreeSet<Text>,
        round: &Round<'_>,
    ) -> Result<Option<Why>, Unremoved> {
        Ok(if !round.warrant.holds() {
            Some(Why::Withdrawn)
        } else if !self.is_own(contact, round) {
            Some(Why::Anothers)
        } else if memory.shares(contact, chosen) {
            Some(Why::NotAlone)
        } else {
            let found = self.remove_contact(contact, memory, round).await?;
            (!found).then_some(Why::NotFound)
        })
    }

    /// The ruids of what was picked and is the account's still, and of what counts once with it.
    fn chosen(&self, round: &Round<'_>) -> BTreeSet<Text> {
        let rows = self.rows(&round.parts.registry);
        let rows = rows.iter().filter(|row| round.is_own(row));
        let is_chosen = |row: &&Arc<Registration>| {
            let mut picked = self.picked.iter();
            picked.any(|one| counts_once_with(one, row))
        };
        rows.filter(is_chosen)
            .map(|row| row.binding.key.ruid.0.clone())
            .collect()
    }

    /// The picked contacts that Kamailio has still and that may be tried again; `None` where there is none.
    fn rest<'a>(
        &'a self,
        left: &Left<'_>,
        before: &Memory,
        now: &Memory,
    ) -> Option<BTreeSet<&'a Text>> {
        let is_left = |one: &&Arc<Registration>| {
            let ruid = &one.binding.key.ruid.0;
            let may_go = matches!(left.get(&one.binding.contact), None | Some(Why::NotFound));
            let there = now.contacts.get(ruid);
            let former = before.contacts.get(ruid);
            may_go && there.is_some_and(|there| former.is_some_and(|one| !is_newer(there, one)))
        };
        let rest = self.picked.iter().filter(is_left);
        let rest: BTreeSet<&Text> = rest.map(|one| &one.binding.contact).collect();
        (!rest.is_empty()).then_some(rest)
    }

    /// Whether what was chosen is all that Kamailio and the table have of the address of record.
    fn is_all(&self, chosen: &BTreeSet<Text>, now: &Memory, round: &Round<'_>) -> bool {
        let registry = &round.parts.registry;
        let listed = self.listed(registry);
        let mut rows = self
            .rows(registry)
            .into_iter()
            .map(|row| row.binding.key.clone());
        now.contacts.keys().all(|ruid| chosen.contains(ruid))
            && rows.all(|key| chosen.contains(&key.ruid.0) || !listed.contains(&key))
            && self.is_alone(now, round)
    }

    /// Removes all of the address of record whose contacts are too many for a look at them. What Kamailio finds one by
    /// one it must have had; the rest goes with the address of record.
    async fn remove_unseen(&self, round: &Round<'_>) -> Result<Memory, Unremoved> {
        let mut times: BTreeMap<&Text, usize> = BTreeMap::new();
        for row in &self.picked {
            *times.entry(&row.binding.contact).or_default() += 1;
        }
        let mut found = BTreeSet::new();
        for contact in times.keys() {
            if !round.warrant.holds() {
                break;
            }
            if self
                .remove_contact(contact, &Memory::default(), round)
                .await?
            {
                found.insert(*contact);
            }
        }
        // Of several with one URI nobody can say which it was.
        let is_found = |one: &&Arc<Registration>| {
            let contact = &one.binding.contact;
            found.contains(contact) && times.get(contact) == Some(&1)
        };
        let found = self.picked.iter().filter(is_found).map(|one| &**one);
        Ok(Memory::of_found(found))
    }

    /// Whether the contact is the account's still.
    fn is_own(&self, contact: &Text, round: &Round<'_>) -> bool {
        let mut same = self
            .picked
            .iter()
            .filter(|one| one.binding.contact == *contact);
        same.any(|one| !self.is_anothers(&one.binding.key.ruid.0, round))
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
        let left = left.get(contact);
        match left {
            Some(Why::Anothers) => return Ok(()),
            Some(Why::Withdrawn) => {
                flushed.failure = Some(self.withdrawn());
                return Ok(());
            }
            Some(Why::NotAlone | Why::NotFound | Why::Covered) | None => {}
        }
        let there = after.contacts.get(&key.ruid.0);
        let problem = match (before.contacts.get(&key.ruid.0), there) {
            (Some(_), Some(_)) if left == Some(&Why::NotAlone) => Some(NOT_ALONE),
            (Some(_), Some(_)) if left == Some(&Why::NotFound) => Some(NOT_SINGLY),
            (Some(_), Some(_)) if left == Some(&Why::Covered) => Some(COVERED),
            // It was there, and if it is there again then by a REGISTER that came in between.
            (Some(former), Some(there)) => (!is_newer(there, former)).then_some(STILL_THERE),
            (Some(_), None) => None,
            // It had been removed and has registered again, or Kamailio has just loaded it.
            (None, Some(_)) if !before.is_known => Some(APPEARED),
            (None, Some(_)) => round.belief.doubt().await?.map(|_| APPEARED),
            // The table has let go of it as well: it went by itself.
            (None, None) if round.parts.registry.get(key).is_none() => return Ok(()),
            (None, None) if self.may_be_lowered(round).await? => Some(CAPITALS),
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

/// Whether both rows count once: they are equal in all that tells bindings apart but for the ruid.
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

/// Whether `after` comes from a later REGISTER than `before`.
fn is_newer(after: &Contact, before: &Contact) -> bool {
    after.call_id != before.call_id || after.cseq > before.cseq
}

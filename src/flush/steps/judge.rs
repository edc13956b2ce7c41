//! The verdict on an address of record: what is confirmed to be gone, what came back, what failed, what is to be hidden.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::flush::Failure;
use crate::flush::answers::memory::{Memory, is_newer};
use crate::flush::failure::{NotFlushed, unconfirmed};
use crate::flush::steps::run::{Run, Shared};
use crate::flush::steps::singly::{Left, Why};
use crate::flush::target::{Rows, Target, contacts_of};
use crate::kamailio::Fault;
use crate::registration::{Hidden, Key, Registration, Text};

const STILL_THERE: &str = "Kamailio still has the contact after removing it";
const NOT_SINGLY: &str = "Kamailio cannot remove a single contact of a user (its usrloc has a matching_mode other \
     than 0); flush the whole user";
const APPEARED: &str = "the contact appeared while it was being flushed; flush it again";
const NOT_ALONE: &str = "not removed: Kamailio's ul.rm_contact selects by contact URI, which another contact that was \
     not chosen shares; choose both, or flush the whole user";
const COVERED: &str = "Kamailio still has the contact after removing it; where another contact with the same URI was \
     removed, Kamailio finds that one first until its next write-back: try again after that";
const ANOTHERS: &str = "Kamailio does not know the contact, which may be registered at another Kamailio with the same table; flush it \
     there, or set [kamailio] server_id to that of the Kamailio that jsonrpc names";
const CAPITALS: &str = "Kamailio does not know the contact, but unless the registrar's case_sensitive is 1 it reads \
     this name in lower case; load the module cfg_rpc so that usrlocd can check, or wait until the registration expires";

/// What was removed from an address of record, and how.
#[derive(Debug)]
pub(in crate::flush) struct Removal<'t> {
    /// What Kamailio had before.
    pub(in crate::flush) before: Memory,
    /// Whether all contacts were removed, and not the picked ones only.
    pub(in crate::flush) is_all: bool,
    /// The picked contacts that are left.
    pub(in crate::flush) left: Left<'t>,
    /// Whether Kamailio has said that it removed all of them; where it did not answer in time, only a look tells.
    pub(in crate::flush) is_answered: bool,
    /// When it was removed, Unix seconds: a REGISTER of a later second came after that.
    pub(in crate::flush) at: i64,
}

/// What became of an address of record.
#[derive(Debug, Default)]
pub(in crate::flush) struct Flushed {
    /// What Kamailio does not have any more; it is to be hidden.
    pub(in crate::flush) gone: Vec<Arc<Registration>>,
    /// How many were removed as well, but came back by a REGISTER in between; they stay listed.
    pub(in crate::flush) back: u64,
    /// What is to be hidden.
    pub(in crate::flush) hidden: Vec<Hidden>,
    pub(in crate::flush) failure: Option<Failure>,
}

impl Run<'_> {
    /// Compares what Kamailio had with what it has.
    pub(in crate::flush) async fn judge(
        &self,
        target: &Target,
        rows: &Rows,
        removal: &Removal<'_>,
        after: &Memory,
    ) -> Result<Flushed, NotFlushed> {
        let mut flushed = Flushed::default();
        let mut vanished = Vec::new();
        for one in &target.picked {
            self.judge_one(target, one, removal, after, &mut flushed)
                .await?;
        }
        if removal.is_all {
            // What was not picked must be gone as well; it is not counted.
            for (ruid, before) in &removal.before.contacts {
                match after.contacts.get(ruid) {
                    Some(after) if !is_newer(after, before) => {
                        flushed.failure = Some(unconfirmed(&target.aor, STILL_THERE));
                    }
                    Some(_) => {}
                    None => vanished.push(ruid),
                }
            }
            self.removals.learn(&rows.own, &removal.before, after);
        }
        if !removal.is_answered && flushed.failure.is_some() {
            return Err(Fault::Timeout.into());
        }
        flushed.hidden = to_hide(target, rows, &flushed.gone, &vanished, after, removal.at);
        Ok(flushed)
    }

    /// Decides what became of one that was picked.
    async fn judge_one(
        &self,
        target: &Target,
        one: &Arc<Registration>,
        removal: &Removal<'_>,
        after: &Memory,
        flushed: &mut Flushed,
    ) -> Result<(), Fault> {
        let (key, left) = (&one.binding.key, removal.left.get(&one.binding.contact));
        match left {
            Some(Why::Anothers) => return Ok(()),
            Some(Why::Withdrawn) => {
                flushed.failure = NotFlushed::Withdrawn.failure(&target.aor);
                return Ok(());
            }
            Some(Why::NotAlone | Why::NotFound | Why::Covered) | None => {}
        }
        let before = &removal.before;
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
            (None, Some(_)) => self.credibility.objection().await?.map(|_| APPEARED),
            // The table has let go of it as well: it went by itself.
            (None, None) if self.parts.registry.get(key).is_none() => return Ok(()),
            (None, None) if self.credibility.may_be_lowered(&target.aor).await? => Some(CAPITALS),
            (None, None) if self.may_be_anothers().await? => Some(ANOTHERS),
            (None, None) => self.credibility.objection().await?,
        };
        match problem {
            None if there.is_some() => flushed.back += 1,
            None => flushed.gone.push(Arc::clone(one)),
            Some(reason) => flushed.failure = Some(unconfirmed(&target.aor, reason)),
        }
        Ok(())
    }

    /// Whether a registration that Kamailio does not know may be in force at another one, which shares the table.
    async fn may_be_anothers(&self) -> Result<bool, Fault> {
        match self.shared {
            None => Ok(false),
            Some(Shared::ByOthers) => Ok(true),
            Some(Shared::Perhaps) => Ok(!self.credibility.knows_any().await?),
        }
    }
}

/// What is to be hidden: what is gone; those rows that no list showed because of it (they have its contact, and would
/// take its place); and what Kamailio had in memory only, since its row may be on its way. Nothing that Kamailio has
/// after all: it is from a later REGISTER.
fn to_hide(
    target: &Target,
    rows: &Rows,
    gone: &[Arc<Registration>],
    vanished: &[&Text],
    after: &Memory,
    at: i64,
) -> Vec<Hidden> {
    let contacts = contacts_of(gone);
    let gone: BTreeSet<&Key> = gone.iter().map(|one| &one.binding.key).collect();
    let vanished = vanished.iter().map(|ruid| (target.key(ruid), (0, at)));
    let mut hidden: BTreeMap<Key, (u64, i64)> = vanished.collect();
    for row in &rows.own {
        let key = &row.binding.key;
        let is_behind = !rows.listed.contains(key) && contacts.contains(&row.binding.contact);
        let is_gone = hidden.contains_key(key) || gone.contains(key) || is_behind;
        if is_gone && !after.contacts.contains_key(&key.ruid.0) {
            // A clock that was set back leaves rows of a time that is still to come: they do not come from a later REGISTER.
            let at = at.max(row.binding.last_modified);
            hidden.insert(key.clone(), (row.binding.row_fingerprint(), at));
        }
    }
    let hide = |(key, (fingerprint, at))| Hidden {
        key,
        fingerprint,
        at,
    };
    hidden.into_iter().map(hide).collect()
}

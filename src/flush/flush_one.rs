//! The protocol of a flush, step by step, for one address of record.

use super::Flusher;
use super::answers::memory::Memory;
use super::failure::NotFlushed;
use super::steps::judge::{Flushed, Removal};
use super::steps::look::Sight;
use super::steps::removal::answered;
use super::steps::run::Run;
use super::steps::singly::Left;
use super::target::Target;

/// How much of an address of record is to be removed.
enum Extent {
    /// All of its contacts: these.
    All(Memory),
    /// All of its contacts, which are too many to look at.
    AllUnseen,
    /// What was picked of these.
    Picked(Memory),
}

impl Flusher {
    /// Flushes one address of record, the `number`th of the run: each line is a step of the protocol.
    pub(super) async fn flush_one(
        &self,
        number: usize,
        target: &mut Target,
        run: &Run<'_>,
    ) -> Result<Flushed, NotFlushed> {
        // On disk what may go is hidden before it goes, so that a crash cannot lose track of it.
        let intent = run.intents.write(number, || run.check()).await?;
        // Nobody else works on the address of record until it is done.
        let _lock = self.locks.lock(target.table_aor()).await;
        let registry = &self.parts.registry;
        registry.begin_flush(intent.iter().map(|row| &row.key), &run.by);
        let steps = async {
            // Is it still to be flushed: may the caller, does Kamailio answer, is it not gone already?
            run.check()?;
            target.keep_own(run.caller, &self.parts);
            if run.exactly && target.picked.is_empty() {
                return Err(NotFlushed::NothingLeft);
            }
            // What does Kamailio have? Meanwhile tokens and owners may have changed.
            let seen = run.look_first(target).await?;
            run.caller.check()?;
            let rows = target.keep_own(run.caller, &self.parts);
            let Some(extent) = extent(target, seen, run)? else {
                return Ok(Flushed::default());
            };
            // Each removal waits for its turn and for a moment when nobody writes Kamailio's file.
            let (removal, rest) = remove(target, extent, run).await?;
            // What does Kamailio have now? What it had and has no more is gone.
            let after = match rest {
                Some(rest) => rest,
                None => run.look_at_end(target).await?,
            };
            let mut flushed = run.judge(target, &rows, &removal, &after).await?;
            let hidden = flushed.hidden.iter().cloned();
            self.parts.registry.hide(hidden, &run.by);
            let called = run.extra_calls.call(target, &self.parts.kamailio).await;
            flushed.failure = flushed.failure.or(called.err());
            Ok(flushed)
        };
        let result = steps.await;
        registry.end_flush(intent.iter().map(|row| &row.key));
        run.record(&result);
        self.withdraw(intent).await;
        result
    }
}

/// Decides how much is to be removed; `None` where nothing that was picked is left, and the rest may be another
/// account's.
fn extent(target: &Target, seen: Sight, run: &Run<'_>) -> Result<Option<Extent>, NotFlushed> {
    let may_have_all = !run.exactly && run.caller.authorization.covers(target.domain.as_ref());
    let is_alone = |memory: Option<&Memory>| may_have_all && run.is_alone(target, memory);
    let nothing_picked = target.picked.is_empty();
    Ok(match seen {
        Sight::Seen(before) if is_alone(Some(&before)) => Some(Extent::All(before)),
        Sight::TooLong if is_alone(None) => Some(Extent::AllUnseen),
        Sight::Seen(_) | Sight::TooLong if nothing_picked => None,
        Sight::Seen(before) => Some(Extent::Picked(before)),
        Sight::TooLong => return Err(run.too_long()),
    })
}

/// Removes it; returns what was removed, and what Kamailio has then where that was looked at already.
async fn remove<'t>(
    target: &'t Target,
    extent: Extent,
    run: &Run<'_>,
) -> Result<(Removal<'t>, Option<Memory>), NotFlushed> {
    let is_all = !matches!(extent, Extent::Picked(_));
    let (before, left, rest) = match extent {
        Extent::All(before) => (before, Left::default(), None),
        Extent::AllUnseen => {
            let before = run.remove_unseen(target).await?;
            run.caller.check()?;
            (before, Left::default(), None)
        }
        Extent::Picked(before) => {
            let (left, rest) = run.remove_singly(target, &before).await?;
            (before, left, Some(rest))
        }
    };
    let mut is_answered = true;
    if is_all {
        let contacts = before.contacts.len();
        is_answered = answered(run.removals.remove_all(target, contacts).await)?.is_some();
    }
    let at = run.parts.clock.unix_seconds();
    let removal = Removal {
        before,
        is_all,
        left,
        is_answered,
        at,
    };
    Ok((removal, rest))
}

//! What is about to be removed, in the store, so that nothing is lost should the program end in the middle.
//!
//! Before a contact is removed that is noted in the store: a start after a crash asks Kamailio what became of it.

use tokio::sync::Mutex;

use crate::flush::failure::NotFlushed;
use crate::flush::target::Target;
use crate::flush::{Flusher, Parts};
use crate::registration::Hidden;

/// How many addresses of record are written at a time: a transaction of many costs little more than one of few, and
/// nobody works meanwhile.
const BATCH: usize = 512;

/// The intents of one flush.
#[derive(Debug)]
pub(in crate::flush) struct Intents<'a> {
    parts: &'a Parts,
    /// By the number of the target.
    targets: Mutex<Vec<Intent>>,
}

/// What is to be hidden should all that was picked of a target go.
#[derive(Debug)]
struct Intent {
    rows: Vec<Hidden>,
    is_written: bool,
}

impl<'a> Intents<'a> {
    pub(in crate::flush) fn new(parts: &'a Parts, targets: &[Target]) -> Self {
        Self {
            parts,
            targets: Mutex::new(targets.iter().map(Intent::of).collect()),
        }
    }

    /// Writes the intent to remove what was picked of a target, and of those that follow it, unless it is written;
    /// returns it. Nothing is written where the target `may` not be removed.
    pub(in crate::flush) async fn write(
        &self,
        number: usize,
        may: impl FnOnce() -> Result<(), NotFlushed>,
    ) -> Result<Vec<Hidden>, NotFlushed> {
        let mut targets = self.targets.lock().await;
        if !targets[number].is_written {
            may()?;
            let at = self.parts.clock.unix_seconds();
            let following = targets[number..].iter_mut();
            let mut batch: Vec<&mut Intent> = following
                .filter(|intent| !intent.is_written)
                .take(BATCH)
                .collect();
            let rows = batch.iter_mut().flat_map(|intent| &mut intent.rows);
            let rows: Vec<Hidden> = rows
                .map(|row| {
                    row.at = row.at.max(at);
                    row.clone()
                })
                .collect();
            if !rows.is_empty() {
                let written = self.parts.store.intend(&rows).await;
                written.map_err(NotFlushed::Store)?;
            }
            for intent in batch {
                intent.is_written = true;
            }
        }
        Ok(std::mem::take(&mut targets[number].rows))
    }
}

impl Intent {
    fn of(target: &Target) -> Self {
        let bindings = target.picked.iter().map(|one| &one.binding);
        let rows = bindings.map(|one| Hidden {
            key: one.key.clone(),
            fingerprint: one.row_fingerprint(),
            // A clock that was set back leaves rows of a time that is still to come.
            at: one.last_modified,
        });
        Self {
            rows: rows.collect(),
            is_written: false,
        }
    }
}

impl Flusher {
    /// Withdraws an intent: the store lists again what did not go.
    pub(in crate::flush) async fn withdraw(&self, intent: Vec<Hidden>) {
        let registry = &self.parts.registry;
        let kept: Vec<Hidden> = intent
            .into_iter()
            .filter(|one| !registry.is_hidden(&one.key))
            .collect();
        self.unhide_in_store(&kept).await;
    }

    /// Has the store list rows again.
    pub(in crate::flush) async fn unhide_in_store(&self, rows: &[Hidden]) {
        if rows.is_empty() {
            return;
        }
        if let Err(error) = self.parts.store.unhide(rows).await {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "flushed registrations that came back will be hidden again after a restart");
        }
    }
}

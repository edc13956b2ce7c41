//! What changes rows: the pipeline, by what sources and the directory say, and by the clock.

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::event::{Cause, Event, Reassigned};
use super::state::State;
use super::tombstones::{has_moved, tombstone};
use super::{AT_ONCE, Overlay, Registry, Snapshot, SourceReport, SourceState, Subscription};
use crate::clock::Clock;
use crate::registration::{Change, Key, Registration, Tombstone};

/// How long to wait at most before looking at the clock again, which may have been set.
const LOOK: Duration = Duration::from_secs(1);

/// So many registrations that a new directory changes are reported one by one; more at once are reported as one.
const SINGLY: usize = 1000;

/// The only writer of a registry. It has one owner, who applies one change after the other; its holder can read as well.
#[derive(Debug)]
pub struct Writer(Arc<Registry>);

/// Changes that are committed together, though they may be applied in portions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Commit(pub(super) u64);

impl Writer {
    /// The writer of an empty registry.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Registry::new(clock)))
    }

    /// The registry, to be read.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.0
    }

    /// What flushes change.
    #[must_use]
    pub fn overlay(&self) -> Overlay {
        Overlay::new(Arc::clone(&self.0))
    }

    /// Begins something that is committed together.
    #[must_use]
    pub fn begin_commit(&self) -> Commit {
        Commit(self.0.content_to_change().feed.begin_commit())
    }

    /// Applies changes in their order; readers see all of them or none.
    pub fn apply(&self, changes: impl IntoIterator<Item = Change<Arc<Registration>>>) {
        self.apply_in(self.begin_commit(), changes);
    }

    /// Applies a portion of a commit; readers see all of the portion or nothing of it.
    pub fn apply_in(
        &self,
        commit: Commit,
        changes: impl IntoIterator<Item = Change<Arc<Registration>>>,
    ) {
        self.0.change(Cause::Table, Some(commit), |state| {
            for change in changes {
                match change {
                    Change::Upsert(registration) => state.upsert(&registration),
                    Change::Remove(key) => state.remove(&key),
                }
            }
        });
    }

    /// Takes over what an earlier run left, in place of whatever the registry has; from then on `source` tells how well
    /// that is known to equal the tables. Readers are not held up, however much it is. Returns the feed of what happens
    /// after that.
    #[expect(
        clippy::must_use_candidate,
        reason = "who does not follow restores all the same"
    )]
    pub fn restore(&self, left: Snapshot, source: SourceReport) -> Subscription {
        self.restore_without(left, source, |_| HashSet::new())
    }

    /// The same. It is asked which rows have `gone` before, of those of which only Kamailio can tell: until it is asked,
    /// they are not listed while there is another of their contact.
    pub fn restore_without(
        &self,
        left: Snapshot,
        source: SourceReport,
        gone: impl FnOnce(&[Arc<Registration>]) -> HashSet<Key>,
    ) -> Subscription {
        let (moved, owners) = (left.moved.clone(), left.owners);
        self.0.reported().intents.clone_from(&left.intents);
        let mut state = State::restored(self.0.clock.unix_seconds(), left);
        if !state.ambiguities.is_empty() {
            state.presume_superseded(gone);
        }
        let mut former = None;
        let cursor = self.0.write(|content, now| {
            former = Some((
                std::mem::replace(&mut content.state, state),
                content.preload.take(),
            ));
            content.owners = owners;
            content.is_loading = source.state == SourceState::Unavailable;
            content.feed.reload();
            let cursor = content.feed.end();
            if !moved.is_empty() && !content.is_loading {
                let commit = content.feed.begin_commit();
                let (rows, tombstones) = (moved, Vec::new());
                let event = Event::Directory(Arc::new(Reassigned { rows, tombstones }));
                content.feed.push(now, commit, event);
            }
            cursor
        });
        self.report(source);
        self.0.progress.send_replace(());
        drop(former);
        Subscription::new(Arc::clone(&self.0), cursor)
    }

    /// Puts all rows that there are in place of those that the registry has, at the end of a first load: what is hidden
    /// and who was known stays. Readers are not held up. The feed does not report it: subscribers list again.
    pub fn load(&self, rows: Vec<Arc<Registration>>) {
        let now = self.0.content().state.now;
        let left = Snapshot {
            rows,
            ..Snapshot::default()
        };
        let mut next = State::restored(now, left);
        let former = self.0.write(|content, _| {
            next.keep_flushed(&mut content.state);
            let former = std::mem::replace(&mut content.state, next);
            content.feed.reload();
            former
        });
        drop(former);
    }

    /// Puts `changed`, rows of which only the owner or names are others, in the place of what is known of them, and does
    /// `publish` in the same moment; `owners` are the rules by which rows belong to accounts from then on. Readers are not
    /// held up, however many they are.
    pub fn replace(&self, changed: Vec<Arc<Registration>>, owners: u64, publish: impl FnOnce()) {
        if changed.len() <= SINGLY {
            self.0.write(|content, now| {
                content.change(now, Cause::Directory, None, |state| {
                    for one in &changed {
                        state.upsert(one);
                    }
                });
                content.owners = Some(owners);
                publish();
            });
        } else {
            self.replace_at_once(changed, owners, publish);
        }
    }

    /// The same, reported as one.
    pub(crate) fn replace_at_once(
        &self,
        changed: Vec<Arc<Registration>>,
        owners: u64,
        publish: impl FnOnce(),
    ) {
        let (now, former) = {
            let content = self.0.content();
            (content.state.now, content.state.rows.all().to_vec())
        };
        let gone = moved(&former, &changed, now);
        // They are known still: their rows are there until the moment when others are.
        for portion in gone.chunks(AT_ONCE) {
            let mut content = self.0.content_to_change();
            for tombstone in portion {
                content.state.tombstones.remember(tombstone.clone());
            }
        }
        let rows = former.into_iter().chain(changed.iter().cloned()).collect();
        let next = Snapshot {
            rows,
            ..Snapshot::default()
        };
        let mut next = State::restored(now, next);
        let reassigned = Arc::new(Reassigned {
            rows: changed,
            tombstones: gone,
        });
        let former = self.0.write(|content, now| {
            next.succeed(&mut content.state);
            let former = std::mem::replace(&mut content.state, next);
            let commit = content.feed.begin_commit();
            content.feed.push(now, commit, Event::Directory(reassigned));
            content.owners = Some(owners);
            publish();
            former
        });
        drop(former);
    }

    /// Brings the lists to this second. Returns how long to wait before doing so again: until something ends, or
    /// the clock may have been set.
    #[expect(
        clippy::must_use_candidate,
        reason = "tests decide by themselves when to do so again"
    )]
    pub fn expire(&self) -> Duration {
        let monotonic = self.0.clock.monotonic();
        self.0.write(|content, now| {
            content.feed.forget_old(monotonic);
            let next = content.state.ends.next(content.state.now);
            let next = next.and_then(|at| u64::try_from(at).ok());
            let next = next.map(|at| Duration::from_secs(at).saturating_sub(now));
            next.map_or(LOOK, |until| until.min(LOOK))
        })
    }

    /// Waits until a reader has come to a second before the [writer](Self::expire) did.
    pub async fn overdue(&self) {
        self.0.overdue.notified().await;
    }

    /// Forgets hidden rows that the tables do not have; to be called once all rows are known.
    pub fn forget_absent(&self) {
        self.0
            .change(Cause::Table, None, |state| state.forget_absent(i64::MAX));
    }
}

impl Deref for Writer {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.0
    }
}

/// Which of the `former` rows' users have another account in `changed`.
fn moved(former: &[Arc<Registration>], changed: &[Arc<Registration>], now: i64) -> Vec<Tombstone> {
    let former: HashMap<&Key, &Arc<Registration>> =
        former.iter().map(|one| (&one.binding.key, one)).collect();
    let moved = changed.iter().filter_map(|one| {
        let former = former.get(&one.binding.key)?;
        has_moved(former, one).then(|| tombstone(former, now))
    });
    moved.collect()
}

//! The write-ahead log and its index as files: which commits there are, and whether a state still holds.
//!
//! A state is a generation of the log and the last frame of a commit in it. It stays readable while others append
//! to the log, until a checkpoint copies later frames into the database file or the log begins anew.
//!
//! As long as anybody has the database open, the index shows which commits there are. When nobody has, the next
//! process to open it rebuilds the index from the log; so then only the log counts, and a commit in it is valid even
//! if its writer died before publishing it.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use super::file::{self, File, Stamp};
use super::findings::Findings;
use super::locks;
use super::reason::{Reason, Result};
use super::shm::{self, Index, Reading};
use super::snapshot::{Snapshot, Witness};
use super::wal::{Followed, Generation, Log, Salts, generations_between};

/// How long log and index may disagree until only the log counts.
const PATIENCE: Duration = Duration::from_secs(1);

/// The log and its index.
#[derive(Debug)]
pub(super) struct LogFiles {
    log_path: PathBuf,
    index_path: PathBuf,
    page_size: usize,
    log_file: Option<File>,
    index_file: Option<File>,
    log: Log,
    /// The generation that `log` is of, also while the log has no header of it yet.
    salts: Option<Salts>,
    /// What the index said at the last look, where it could be believed.
    published: Option<Index>,
    /// Since when log and index have disagreed.
    disagreement: Option<Duration>,
    /// The stamp of the database file at the last look, if nobody wrote to it then: there was no log, or none yet, or
    /// nobody had the database open. And whether it was ripe.
    at_rest: Option<(Stamp, bool)>,
    /// What a look has found that failed after that; the next one to succeed reports it.
    owed: Option<Findings>,
}

impl LogFiles {
    /// The log at `log_path` and its index at `index_path`; nothing is opened yet.
    pub(super) fn new(log_path: PathBuf, index_path: PathBuf, page_size: usize) -> Self {
        Self {
            log_path,
            index_path,
            page_size,
            log_file: None,
            index_file: None,
            log: Log::new(page_size),
            salts: None,
            published: None,
            disagreement: None,
            at_rest: None,
            owed: None,
        }
    }

    /// Frames whose checksum was computed.
    #[cfg(test)]
    pub(super) fn frames_verified(&self) -> u64 {
        self.log.verified.get()
    }

    /// Where the log is.
    pub(super) fn path(&self) -> PathBuf {
        self.log_path.clone()
    }

    /// Where the committed image of page `number` stands, if it is in the log.
    pub(super) fn page(&self, number: u32) -> Option<(&File, u64)> {
        Some((self.log_file.as_ref()?, self.log.offset(number)?))
    }

    /// Reads what has been committed; see [`super::source::Source::refresh`].
    pub(super) fn refresh(
        &mut self,
        database: &File,
        now: Duration,
        budget: u32,
        changed: &mut HashSet<u32>,
    ) -> Result<(Snapshot, Findings)> {
        let mut found = self.owed.take().unwrap_or_default();
        match self.look(database, now, budget, changed, &mut found) {
            Ok(snapshot) => Ok((snapshot, found)),
            Err(reason) => {
                self.owed = Some(found);
                Err(reason)
            }
        }
    }

    /// Whether the index differs from what it was at the last look; `None` where it was of no use then.
    ///
    /// What a single read of it cannot show is left to the next look: that nobody keeps it up to date any more, that
    /// its name now leads to another file, a checkpoint.
    pub(super) fn has_news(&self) -> Option<bool> {
        let (published, file) = (self.published?, self.index_file.as_ref()?);
        Some(!matches!(shm::read(file), Ok(Reading::Published(index)) if index == published))
    }

    /// Finds out what has been committed since, and how that can be verified.
    fn look(
        &mut self,
        database: &File,
        now: Duration,
        budget: u32,
        changed: &mut HashSet<u32>,
        found: &mut Findings,
    ) -> Result<Snapshot> {
        found.behind = false;
        self.reopen(found)?;
        let stamp = database.stamp()?;
        if self.at_rest.is_some_and(|(before, _)| before != stamp) {
            self.at_rest = None;
            found.lose();
        }
        let rested = self.at_rest.filter(|_| self.salts.is_none());
        let mut hunt = Hunt {
            budget,
            changed,
            found,
        };
        let witness = self.find_witness(database, now, stamp, &mut hunt);
        if let Some(rested) = rested.filter(|_| self.salts.is_some()) {
            // Whatever was committed since is in the log that has begun, unless that has begun twice: then the one
            // before was copied into the file.
            found.gap |= rested != (database.stamp()?, true);
        }
        let witness = witness?;
        self.at_rest = match witness {
            Witness::Stamp(stamp) | Witness::Unlogged(stamp) | Witness::Abandoned(Some(stamp)) => {
                Some((stamp, stamp.if_ripe().is_some()))
            }
            Witness::Abandoned(None) | Witness::Index | Witness::Log => None,
        };
        Ok(self.snapshot(stamp, witness))
    }

    /// Whether what was read from `snapshot` was of it.
    pub(super) fn holds(&self, database: &File, snapshot: &Snapshot) -> Result<bool> {
        match snapshot.verified_by {
            Witness::Index => self.is_published(snapshot),
            Witness::Unlogged(stamp) => {
                Ok(self.is_published(snapshot)? && database.stamp()? == stamp)
            }
            Witness::Log => self.ends_at(snapshot),
            // Whoever opens the database now may go on to write, and then the index counts again.
            Witness::Abandoned(stamp) => Ok(self.ends_at(snapshot)?
                && self.is_abandoned(database)?
                && (stamp.is_none() || stamp == Some(database.stamp()?))),
            Witness::Stamp(stamp) => {
                Ok(!file::has_content(&self.log_path)? && database.stamp()? == stamp)
            }
        }
    }

    /// Whether the index still is of the generation of `snapshot`, and nothing later is in the database file.
    fn is_published(&self, snapshot: &Snapshot) -> Result<bool> {
        let Some(file) = &self.index_file else {
            return Ok(false);
        };
        // In this order: a new generation first changes the salts and then forgets the checkpoint.
        let backfilled = shm::backfilled(file)?;
        let Reading::Published(index) = shm::read(file)? else {
            return Ok(false);
        };
        Ok(index.salts == snapshot.salts
            && index.frames >= snapshot.frame
            && backfilled <= snapshot.frame
            && !file.is_unlinked()?)
    }

    /// Whether the log still ends with the commit of `snapshot`.
    fn ends_at(&self, snapshot: &Snapshot) -> Result<bool> {
        let Some(file) = &self.log_file else {
            return Ok(false);
        };
        // In this order: a new generation first writes its header and then over the frames.
        let later = self.log.has_later_commit(file)?;
        let generation = Generation::read(file, self.page_size)?;
        Ok(!later && generation.map(|it| it.salts) == snapshot.salts && !file.is_unlinked()?)
    }

    /// Whether nobody keeps the index up to date, so that it is not to be believed.
    fn is_abandoned(&self, database: &File) -> Result<bool> {
        match &self.index_file {
            Some(file) => Ok(!locks::in_use(file)?),
            None => Ok(!locks::connected(database)?),
        }
    }

    /// Opens the files anew where their names lead elsewhere; with the old ones changes may be lost.
    fn reopen(&mut self, found: &mut Findings) -> Result<()> {
        if self
            .log_file
            .as_ref()
            .is_some_and(|it| !it.is_at(&self.log_path))
        {
            // One in which nothing was ever begun took nothing along.
            if self.salts.is_some() {
                found.lose();
            }
            self.log_file = None;
            self.restart(None);
        }
        if self
            .index_file
            .as_ref()
            .is_some_and(|it| !it.is_at(&self.index_path))
        {
            self.index_file = None;
        }
        if self.log_file.is_none() {
            self.log_file = File::open(&self.log_path)?;
        }
        if self.index_file.is_none() {
            // Without permission to read it the log alone must do.
            self.index_file = File::open(&self.index_path).unwrap_or_default();
        }
        Ok(())
    }

    /// Follows the log as far as the index says, or to its end where the index is of no use.
    fn find_witness(
        &mut self,
        database: &File,
        now: Duration,
        stamp: Stamp,
        hunt: &mut Hunt<'_>,
    ) -> Result<Witness> {
        self.published = None;
        if self.is_abandoned(database)? {
            self.disagreement = None;
            let alone = !locks::connected(database)?;
            return Ok(match self.follow_alone(stamp, hunt)? {
                Witness::Log => Witness::Abandoned(alone.then_some(stamp)),
                other => other,
            });
        }
        let reading = match &self.index_file {
            Some(file) => shm::read(file)?,
            None => Reading::Unusable,
        };
        let agreed = match reading {
            Reading::Published(index) => self.follow_index(index, hunt)?,
            Reading::Torn => false,
            Reading::Unusable => return self.follow_alone(stamp, hunt),
        };
        if agreed {
            self.published = reading.published();
            self.disagreement = None;
            return Ok(match self.salts {
                Some(_) => Witness::Index,
                None => Witness::Unlogged(stamp),
            });
        }
        let since = *self.disagreement.get_or_insert(now);
        if now.saturating_sub(since) < PATIENCE {
            return Err(Reason::WalMismatch);
        }
        self.follow_alone(stamp, hunt)
    }

    /// Follows the log to the frame that the index has published; whether that could be reached.
    fn follow_index(&mut self, index: Index, hunt: &mut Hunt<'_>) -> Result<bool> {
        let Some(salts) = index.salts else {
            // There is no log yet. If there was one, its end may not have been read.
            hunt.found.gap |= self.salts.is_some();
            self.restart(None);
            return Ok(true);
        };
        if self.salts != Some(salts) && !self.change_generation(salts, hunt)? {
            return Ok(true);
        }
        if index.frames == 0 {
            return Ok(self.log.committed() == 0);
        }
        let Some(file) = &self.log_file else {
            return Ok(false);
        };
        if self.log.generation().is_none() {
            // A new generation is published before its header is written.
            match Generation::read(file, self.page_size)? {
                Some(generation) if generation.salts == salts => {
                    self.log.begin(Some(generation));
                }
                _ => return Ok(false),
            }
        }
        let followed = hunt.follow(&mut self.log, file, index.frames)?;
        hunt.found.behind |= followed == Followed::Budget;
        Ok(followed == Followed::Budget || self.log.committed() == index.frames)
    }

    /// Follows the log to its end.
    fn follow_alone(&mut self, stamp: Stamp, hunt: &mut Hunt<'_>) -> Result<Witness> {
        let generation = match &self.log_file {
            Some(file) => Generation::read(file, self.page_size)?,
            None => None,
        };
        let Some(generation) = generation else {
            hunt.found.gap |= self.log.committed() > 0;
            self.restart(None);
            return Ok(Witness::Stamp(stamp));
        };
        if self.salts != Some(generation.salts)
            && !self.change_generation(generation.salts, hunt)?
        {
            return Ok(Witness::Log);
        }
        if self.log.generation().is_none() {
            self.log.begin(Some(generation));
        }
        if let Some(file) = &self.log_file {
            let followed = hunt.follow(&mut self.log, file, u32::MAX)?;
            hunt.found.behind |= followed == Followed::Budget;
        }
        Ok(Witness::Log)
    }

    /// Leaves the old generation for the one with `salts`; `false` when there is more to read of the old first.
    ///
    /// The end of the old generation is still in the file as far as the new one has not overwritten it. What has
    /// been overwritten before it was read is a gap.
    fn change_generation(&mut self, salts: Salts, hunt: &mut Hunt<'_>) -> Result<bool> {
        if let Some((old, file)) = self.salts.zip(self.log_file.as_ref()) {
            let mut unread = false;
            if self.log.generation().is_none() {
                let generation = Generation::read(file, self.page_size)?;
                self.log.begin(generation.filter(|it| it.salts == old));
                unread = self.log.generation().is_none();
            }
            if hunt.follow(&mut self.log, file, u32::MAX)? == Followed::Budget {
                hunt.found.behind = true;
                return Ok(false);
            }
            let newer = |salts: Salts| generations_between(old, salts).is_some();
            let overwritten = match self.log.salts_after(file)? {
                Some(after) => newer(after) || unread && after == old,
                // The log ends here, or has been cut; what was read last shows if it still is as it was. A
                // generation has frames when another follows it.
                None => self.log.last_salts(file)?.is_none_or(newer),
            };
            let next = generations_between(old, salts) == Some(1);
            hunt.found.gap |= overwritten || !next;
            hunt.found.restarted = true;
        }
        self.restart(Some(salts));
        Ok(true)
    }

    fn restart(&mut self, salts: Option<Salts>) {
        self.salts = salts;
        self.log.begin(None);
    }

    fn snapshot(&self, stamp: Stamp, verified_by: Witness) -> Snapshot {
        let by_length = self.log.pages == 0;
        Snapshot {
            salts: self.salts,
            frame: self.log.committed(),
            pages: self.log.pages,
            length: if by_length { stamp.length } else { 0 },
            verified_by,
        }
    }
}

/// Reading the log within a budget.
struct Hunt<'a> {
    budget: u32,
    changed: &'a mut HashSet<u32>,
    found: &'a mut Findings,
}

impl Hunt<'_> {
    fn follow(&mut self, log: &mut Log, file: &File, limit: u32) -> Result<Followed> {
        let before = log.committed();
        let followed = log.follow(file, limit, self.budget, self.changed)?;
        self.found.frames += log.committed() - before;
        Ok(followed)
    }
}

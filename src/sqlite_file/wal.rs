//! The write-ahead log: its frames, verified by salts and checksums, and which frame holds a page
//! (<https://sqlite.org/fileformat2.html#the_write_ahead_log>).

use std::collections::{HashMap, HashSet};

use super::bytes::{array, be32};
use super::file::{File, Stamp};
use super::reason::Result;

/// The two numbers that mark the frames of one generation of the log; the first grows by one with each, unless who
/// begins it has never seen another.
pub(super) type Salts = [u8; 8];

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const MAGIC: u32 = 0x377f_0682;
/// Frames read at once, first and at most.
const CHUNK: (u32, u32) = (8, 64);

/// The byte order in which a checksum takes its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Little-endian.
    Little,
    /// Big-endian.
    Big,
    /// That of this machine.
    Native,
}

/// SQLite's checksum of `bytes`, carried on from `sum`.
pub(super) fn checksum(order: Order, sum: [u32; 2], bytes: &[u8]) -> [u32; 2] {
    let [mut a, mut b] = sum;
    let word = |bytes: &[u8]| {
        let bytes = array(bytes, 0).unwrap_or_default();
        match order {
            Order::Little => u32::from_le_bytes(bytes),
            Order::Big => u32::from_be_bytes(bytes),
            Order::Native => u32::from_ne_bytes(bytes),
        }
    };
    for pair in bytes.chunks_exact(8) {
        a = a.wrapping_add(word(&pair[..4])).wrapping_add(b);
        b = b.wrapping_add(word(&pair[4..])).wrapping_add(a);
    }
    [a, b]
}

/// The header of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation {
    /// Its salts.
    pub(super) salts: Salts,
    order: Order,
    checksum: [u32; 2],
}

/// A place in the log, after a frame whose chain of checksums has been verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Position {
    frame: u32,
    checksum: [u32; 2],
}

/// How far following came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Followed {
    /// To the limit.
    Limit,
    /// To where the chain of valid frames ends.
    End,
    /// To the end of the budget; there may be more.
    Budget,
}

/// What has been read of one generation of the log.
#[derive(Debug)]
pub(super) struct Log {
    page_size: usize,
    generation: Option<Generation>,
    committed: Position,
    read: Position,
    /// The pages of the frames between `committed` and `read`: of a transaction so large that it is written before
    /// its commit.
    staged: Vec<u32>,
    /// The stamp of the file when it had nothing valid after `read`.
    ended: Option<Stamp>,
    /// The last committed frame of each page.
    frames: HashMap<u32, u32>,
    /// Pages of the database after the last commit read; 0 before the first.
    pub(super) pages: u32,
    buffer: Vec<u8>,
    /// Frames whose checksum was computed.
    #[cfg(test)]
    pub(super) verified: std::cell::Cell<u64>,
}

impl Generation {
    /// Reads the header of the log; `None` where there is no valid one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn read(file: &File, page_size: usize) -> Result<Option<Self>> {
        let mut bytes = [0; HEADER];
        let length = file.read(&mut bytes, 0)?;
        Ok(Self::parse(&bytes)
            .filter(|it| length == HEADER && it.1 == page_size)
            .map(|it| it.0))
    }

    /// The generation and page size that the header `bytes` tells.
    fn parse(bytes: &[u8; HEADER]) -> Option<(Self, usize)> {
        let order = match be32(bytes, 0)?.checked_sub(MAGIC)? {
            0 => Order::Little,
            1 => Order::Big,
            _ => return None,
        };
        let checksum = checksum(order, [0, 0], &bytes[..HEADER - 8]);
        let written = [be32(bytes, 24)?, be32(bytes, 28)?];
        let generation = Self {
            salts: array(bytes, 16)?,
            order,
            checksum,
        };
        (checksum == written).then_some((generation, usize::try_from(be32(bytes, 8)?).ok()?))
    }
}

/// Whether `later` are salts of a generation after `earlier`, and how many after.
pub(super) fn generations_between(earlier: Salts, later: Salts) -> Option<u32> {
    let first = |salts: &Salts| be32(salts, 0).unwrap_or_default();
    let distance = first(&later).wrapping_sub(first(&earlier));
    (distance != 0 && distance < 1 << 31).then_some(distance)
}

impl Position {
    /// Checks the frame that follows. Its page, the pages of the database if it is a commit, and the place after
    /// it; `None` where the chain ends.
    fn verify(self, generation: Generation, frame: &[u8]) -> Option<(u32, u32, Self)> {
        let (page, pages) = (be32(frame, 0)?, be32(frame, 4)?);
        if page == 0 || array(frame, 8) != Some(generation.salts) {
            return None;
        }
        let sum = checksum(generation.order, self.checksum, frame.get(..8)?);
        let checksum = checksum(generation.order, sum, frame.get(FRAME_HEADER..)?);
        let written = [be32(frame, 16)?, be32(frame, 20)?];
        let frame = self.frame.checked_add(1)?;
        (written == checksum).then_some((page, pages, Self { frame, checksum }))
    }
}

impl Log {
    /// A log of which nothing has been read.
    pub(super) fn new(page_size: usize) -> Self {
        Self {
            page_size,
            generation: None,
            committed: Position::default(),
            read: Position::default(),
            staged: Vec::new(),
            ended: None,
            frames: HashMap::new(),
            pages: 0,
            buffer: Vec::new(),
            #[cfg(test)]
            verified: std::cell::Cell::default(),
        }
    }

    /// Begins a generation, whose frames are all unread.
    pub(super) fn begin(&mut self, generation: Option<Generation>) {
        self.generation = generation;
        self.committed = Position {
            frame: 0,
            checksum: generation.map_or([0, 0], |it| it.checksum),
        };
        self.rewind();
        self.frames.clear();
        self.pages = 0;
    }

    /// The generation that is being read.
    pub(super) fn generation(&self) -> Option<Generation> {
        self.generation
    }

    /// The last committed frame that was read.
    pub(super) fn committed(&self) -> u32 {
        self.committed.frame
    }

    /// Where in the log the committed image of page `number` stands, if it is there.
    pub(super) fn offset(&self, number: u32) -> Option<u64> {
        let frame = self.frames.get(&number)?;
        Some(self.frame_offset(*frame) + FRAME_HEADER as u64)
    }

    /// The salts in the frame after the last commit.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn salts_after(&self, file: &File) -> Result<Option<Salts>> {
        self.salts_of(file, self.committed.frame.saturating_add(1))
    }

    /// The salts in the frame of the last commit, as it is now.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn last_salts(&self, file: &File) -> Result<Option<Salts>> {
        match self.committed.frame {
            0 => Ok(None),
            frame => self.salts_of(file, frame),
        }
    }

    fn salts_of(&self, file: &File, frame: u32) -> Result<Option<Salts>> {
        let mut bytes = [0; FRAME_HEADER];
        let length = file.read(&mut bytes, self.frame_offset(frame))?;
        Ok(array(&bytes, 8).filter(|_| length == FRAME_HEADER))
    }

    /// Whether a commit follows the last one that was read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn has_later_commit(&self, file: &File) -> Result<bool> {
        if !self.staged.is_empty() {
            if self.ended.is_some() && self.ended == file.stamp()?.if_ripe() {
                return Ok(false);
            }
            // A frame that continues the chain proves that the frames before it are as they were read.
            if let Some(later) = self.commit_after(self.read, file)? {
                return Ok(later);
            }
        }
        Ok(self.commit_after(self.committed, file)? == Some(true))
    }

    /// Whether a commit is in the chain that continues at `position`; `None` where no frame continues it.
    fn commit_after(&self, mut position: Position, file: &File) -> Result<Option<bool>> {
        let Some(generation) = self.generation else {
            return Ok(None);
        };
        let mut frame = vec![0; FRAME_HEADER + self.page_size];
        let mut found = None;
        loop {
            let offset = self.frame_offset(position.frame.saturating_add(1));
            let length = file.read(&mut frame, offset)?;
            self.count_verified();
            match position.verify(generation, &frame[..length]) {
                Some((_, 0, next)) if length == frame.len() => position = next,
                Some(_) if length == frame.len() => return Ok(Some(true)),
                _ => return Ok(found),
            }
            found = Some(false);
        }
    }

    /// Reads on, not beyond frame `limit`, and about `budget` frames at most. The pages of commits go to
    /// `changed`; frames after the last commit wait for theirs.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn follow(
        &mut self,
        file: &File,
        limit: u32,
        budget: u32,
        changed: &mut HashSet<u32>,
    ) -> Result<Followed> {
        if self.read.frame > limit {
            self.rewind();
        }
        let mut left = budget;
        let mut chunk = CHUNK.0;
        let mut resumed = !self.staged.is_empty();
        let stamp = file.stamp()?.if_ripe();
        if resumed && self.ended.is_some() && self.ended == stamp {
            return Ok(Followed::End);
        }
        while self.read.frame < limit {
            if left == 0 {
                return Ok(Followed::Budget);
            }
            let want = chunk.min(limit - self.read.frame);
            let taken = self.follow_chunk(file, want, changed)?;
            if taken == 0 && resumed {
                // Frames without commit are written over by a writer that takes them back, and change again before
                // their commit.
                self.rewind();
            } else if taken < want {
                self.ended = stamp;
                return Ok(Followed::End);
            }
            resumed = false;
            left = left.saturating_sub(taken);
            chunk = CHUNK.1;
        }
        Ok(Followed::Limit)
    }

    /// Goes back to the last commit.
    fn rewind(&mut self) {
        self.read = self.committed;
        self.staged.clear();
        self.ended = None;
    }

    /// Reads up to `want` frames; how many were valid.
    fn follow_chunk(&mut self, file: &File, want: u32, changed: &mut HashSet<u32>) -> Result<u32> {
        let Some(generation) = self.generation else {
            return Ok(0);
        };
        let size = FRAME_HEADER + self.page_size;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(size * want as usize, 0);
        let length = file.read(&mut buffer, self.frame_offset(self.read.frame + 1))?;
        let mut taken = 0;
        for frame in buffer[..length].chunks_exact(size) {
            self.count_verified();
            let Some((page, pages, position)) = self.read.verify(generation, frame) else {
                break;
            };
            taken += 1;
            self.read = position;
            self.staged.push(page);
            if pages > 0 {
                self.commit(pages, changed);
            }
        }
        self.buffer = buffer;
        Ok(taken)
    }

    fn commit(&mut self, pages: u32, changed: &mut HashSet<u32>) {
        let first = self.committed.frame + 1;
        for (frame, page) in (first..).zip(self.staged.drain(..)) {
            self.frames.insert(page, frame);
            changed.insert(page);
        }
        self.committed = self.read;
        self.pages = pages;
    }

    #[cfg_attr(
        not(test),
        expect(clippy::unused_self, reason = "counts in tests only")
    )]
    fn count_verified(&self) {
        #[cfg(test)]
        self.verified.set(self.verified.get() + 1);
    }

    fn frame_offset(&self, frame: u32) -> u64 {
        let size = FRAME_HEADER + self.page_size;
        HEADER as u64 + u64::from(frame.saturating_sub(1)) * size as u64
    }
}

/// Reads `bytes` as a log with pages of 64 bytes; how many frames are of it. With `sums` their checksums are made good
/// first, as far as there is a header.
#[cfg(test)]
pub(super) fn count(mut bytes: Vec<u8>, sums: bool) -> Option<u32> {
    let order = [Order::Little, Order::Big][usize::from(*bytes.get(3)? & 1)];
    let seal = |bytes: &mut [u8], at: usize, sum: [u32; 2]| {
        bytes[at..at + 4].copy_from_slice(&sum[0].to_be_bytes());
        bytes[at + 4..at + 8].copy_from_slice(&sum[1].to_be_bytes());
    };
    if sums && bytes.len() >= HEADER {
        let mut sum = checksum(order, [0, 0], &bytes[..HEADER - 8]);
        seal(&mut bytes, HEADER - 8, sum);
        let salts: Salts = array(&bytes, 16)?;
        for frame in bytes[HEADER..].chunks_exact_mut(FRAME_HEADER + 64) {
            frame[8..16].copy_from_slice(&salts);
            sum = checksum(order, sum, &frame[..8]);
            sum = checksum(order, sum, &frame[FRAME_HEADER..]);
            seal(frame, 16, sum);
        }
    }
    let (generation, _) = Generation::parse(bytes.first_chunk()?)?;
    let mut position = Position {
        frame: 0,
        checksum: generation.checksum,
    };
    for frame in bytes[HEADER..].chunks(FRAME_HEADER + 64) {
        let Some((_, _, next)) = position.verify(generation, frame) else {
            break;
        };
        position = next;
    }
    Some(position.frame)
}

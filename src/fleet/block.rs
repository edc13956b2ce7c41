//! What refreshes move, for many registrations of a node at a time.
//!
//! A registration has a *slot* on its node; [`SLOTS`] of them make a *block*, a row of the database. A block has a *base*
//! and [`SEGMENTS`] segments, each of which is one *batch*: the refreshes of some of its registrations, or no bytes. To
//! publish a minute's refreshes is to replace one segment, of which nothing is needed any more, so that `PostgreSQL` logs
//! the bytes of that segment and few others.
//!
//! An entry says what has changed since the registration's row was written, or since the base where that is later.
//! Every batch and every row has the number of the node's transaction that wrote it: a batch says nothing of a row that
//! is as new, because the row itself says it, and a slot may have another registration by then.

use integer_encoding::VarInt;

use crate::registration::{Binding, Bytes, Expiry, Number};

/// How many slots a block has.
pub const SLOTS: u32 = 512;

/// How many segments a block has beside its base.
pub const SEGMENTS: usize = 8;

/// The bits of an entry's first byte: its age in seconds, or that the age does not fit in.
const AGE: u8 = 0x3f;
/// Slots without an entry come before; their number follows.
const HAS_GAP: u8 = 0x40;
/// A byte follows that says what is unusual.
const IS_UNUSUAL: u8 = 0x80;

/// The time that was granted is not that of the row.
const HAS_GRANTED: u8 = 1;
/// The registration does not end.
const IS_PERMANENT: u8 = 2;
/// There is no `CSeq`.
const LACKS_CSEQ: u8 = 4;

/// The bytes are not those of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a block of refreshes")]
pub struct Malformed;

/// What a refresh moves of a registration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refresh {
    /// When Kamailio handled the last REGISTER, Unix seconds.
    pub last_modified: i64,
    /// When the registration ends.
    pub expiry: Expiry,
    /// `CSeq` of the last REGISTER.
    pub cseq: Option<Number>,
}

/// A block as it was read.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Block {
    base: Batch,
    /// The latest first.
    segments: Vec<Batch>,
}

/// Entries that were written together.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Batch {
    /// The number of the transaction that wrote it.
    sequence: u64,
    /// In the order of their places.
    entries: Vec<(u16, Entry)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    last_modified: i64,
    granted: Granted,
    /// What it is above the former one; `None` where there is none.
    cseq_above: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Granted {
    /// As much as in the row or in the base.
    AsBefore,
    Seconds(i64),
    Permanent,
}

/// Writes the bytes of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchWriter {
    bytes: Vec<u8>,
    time: i64,
    /// The first place that may come now.
    next: u16,
}

impl Refresh {
    /// What a binding has of it.
    #[must_use]
    pub fn of(binding: &Binding) -> Self {
        Self {
            last_modified: binding.last_modified,
            expiry: binding.expiry,
            cseq: binding.cseq,
        }
    }

    // Kamailio's times are far from the ends of their type; what is not is brought back as it was all the same.
    fn granted(self) -> Option<i64> {
        let end = self.expiry.end()?;
        Some(end.wrapping_sub(self.last_modified))
    }

    fn cseq_or_zero(self) -> i64 {
        self.cseq.map_or(0, |cseq| cseq.get())
    }
}

impl Entry {
    /// What differs from `former`.
    fn since(former: Refresh, now: Refresh) -> Self {
        let above = |cseq: Number| cseq.get().wrapping_sub(former.cseq_or_zero());
        Self {
            last_modified: now.last_modified,
            granted: match now.granted() {
                granted if granted == former.granted() => Granted::AsBefore,
                Some(seconds) => Granted::Seconds(seconds),
                None => Granted::Permanent,
            },
            cseq_above: now.cseq.map(|cseq| above(cseq).cast_unsigned()),
        }
    }

    /// What it makes of `former`.
    fn after(self, former: Refresh) -> Refresh {
        let granted = match self.granted {
            Granted::AsBefore => former.granted(),
            Granted::Seconds(seconds) => Some(seconds),
            Granted::Permanent => None,
        };
        let end = granted.map(|granted| self.last_modified.wrapping_add(granted));
        let cseq = |above: u64| former.cseq_or_zero().wrapping_add(above.cast_signed());
        Refresh {
            last_modified: self.last_modified,
            expiry: end.map_or(Expiry::Permanent, Expiry::At),
            cseq: self.cseq_above.and_then(|above| Number::new(cseq(above))),
        }
    }
}

impl BatchWriter {
    /// An empty batch of the transaction with this number, at about `time` (Unix seconds): ages count from it.
    #[must_use]
    pub fn new(sequence: u64, time: i64) -> Self {
        let mut bytes = Vec::new();
        write(sequence, &mut bytes);
        write(time, &mut bytes);
        Self {
            bytes,
            time,
            next: 0,
        }
    }

    /// Adds what the registration at `place`, which is later than those before it, is `now`. `former` is what readers
    /// take it for without this batch and without the segments: what the base or else the row says.
    ///
    /// # Panics
    /// When it is not later.
    pub fn push(&mut self, place: u16, former: Refresh, now: Refresh) {
        let gap = place
            .checked_sub(self.next)
            .expect("places come in their order");
        self.next = place + 1;
        let entry = Entry::since(former, now);
        let age = self.time.wrapping_sub(entry.last_modified);
        let short = u8::try_from(age).ok().filter(|age| *age < AGE);
        let unusual = match entry.granted {
            Granted::AsBefore => 0,
            Granted::Seconds(_) => HAS_GRANTED,
            Granted::Permanent => IS_PERMANENT,
        } | if entry.cseq_above.is_none() {
            LACKS_CSEQ
        } else {
            0
        };
        let has_gap = if gap > 0 { HAS_GAP } else { 0 };
        let is_unusual = if unusual > 0 { IS_UNUSUAL } else { 0 };
        let out = &mut self.bytes;
        out.push(short.unwrap_or(AGE) | has_gap | is_unusual);
        if gap > 0 {
            write(gap, out);
        }
        if unusual > 0 {
            out.push(unusual);
        }
        if short.is_none() {
            write(age, out);
        }
        if let Granted::Seconds(seconds) = entry.granted {
            write(seconds, out);
        }
        if let Some(above) = entry.cseq_above {
            write(above, out);
        }
    }

    /// The bytes of the batch.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

impl Block {
    /// The block of these bytes.
    ///
    /// # Errors
    /// Where they are not those of a block.
    pub fn decode<'a>(
        base: &[u8],
        segments: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, Malformed> {
        let segments = segments.into_iter().filter(|bytes| !bytes.is_empty());
        let segments = segments.map(|bytes| Batch::decode(bytes).ok_or(Malformed));
        let mut segments: Vec<Batch> = segments.collect::<Result<_, _>>()?;
        segments.sort_by_key(|batch| std::cmp::Reverse(batch.sequence));
        let base = match base {
            [] => Batch::default(),
            bytes => Batch::decode(bytes).ok_or(Malformed)?,
        };
        Ok(Self { base, segments })
    }

    /// What the base makes of what the row says that was `written` at `place` by the transaction `sequence`.
    #[must_use]
    pub fn based(&self, place: u16, sequence: u64, written: Refresh) -> Refresh {
        let base = self.base.entry(place, sequence);
        base.map_or(written, |entry| entry.after(written))
    }

    /// The latest of the registration at `place`, whose row was `written` by the transaction `sequence`.
    #[must_use]
    pub fn latest(&self, place: u16, sequence: u64, written: Refresh) -> Refresh {
        let based = self.based(place, sequence, written);
        let mut later = self.segments.iter();
        let latest = later.find_map(|batch| batch.entry(place, sequence.max(self.base.sequence)));
        latest.map_or(based, |entry| entry.after(based))
    }
}

impl Batch {
    /// The entry at this place, if it is later than the transaction `than`.
    fn entry(&self, place: u16, than: u64) -> Option<Entry> {
        if self.sequence <= than {
            return None;
        }
        let found = self.entries.binary_search_by_key(&place, |entry| entry.0);
        found.ok().map(|index| self.entries[index].1)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Bytes(bytes);
        let sequence = read(&mut rest)?;
        let time: i64 = read(&mut rest)?;
        let mut entries = Vec::new();
        let mut next = 0;
        while !rest.0.is_empty() {
            let [first] = rest.array()?;
            let gap: u16 = match first & HAS_GAP {
                0 => 0,
                _ => read(&mut rest)?,
            };
            let place = u32::from(gap) + next;
            if place >= SLOTS {
                return None;
            }
            next = place + 1;
            let entry = Entry::decode(first, time, &mut rest)?;
            entries.push((u16::try_from(place).ok()?, entry));
        }
        Some(Self { sequence, entries })
    }
}

impl Entry {
    fn decode(first: u8, time: i64, rest: &mut Bytes<'_>) -> Option<Self> {
        let unusual = match first & IS_UNUSUAL {
            0 => 0,
            _ => rest.array::<1>()?[0],
        };
        let age = match first & AGE {
            AGE => read(rest)?,
            age => i64::from(age),
        };
        Some(Self {
            last_modified: time.wrapping_sub(age),
            granted: match unusual & (HAS_GRANTED | IS_PERMANENT) {
                0 => Granted::AsBefore,
                HAS_GRANTED => Granted::Seconds(read(rest)?),
                IS_PERMANENT => Granted::Permanent,
                _ => return None,
            },
            cseq_above: match unusual & LACKS_CSEQ {
                0 => Some(read(rest)?),
                _ => None,
            },
        })
    }
}

fn write<N: VarInt>(number: N, out: &mut Vec<u8>) {
    let mut room = [0; 10];
    let length = number.encode_var(&mut room);
    out.extend_from_slice(&room[..length]);
}

fn read<N: VarInt>(rest: &mut Bytes<'_>) -> Option<N> {
    let (number, length) = N::decode_var(rest.0)?;
    rest.take(length)?;
    Some(number)
}

#[cfg(test)]
mod tests;

//! An event as bytes: all but the states of registrations, which [`state`](super::state) writes.
//!
//! Times stand relative to the event's own, so that they are short.

use std::sync::Arc;

use super::code::{BURST, Code, DIRECTORY, GAP, SOURCE};
use super::common::{Decoder, optional, write_optional};
use super::pack::{number, write_number};
use crate::events::{Burst, Gap, GapCause, Group, Happening, Replaces, Stats, What};
use crate::registration::{
    Binding, Bytes, Column, Details, Expiry, Life, Number, Registration, write_text,
};
use crate::registry::{FlushedBy, SourceState};

/// When a registration's event happened by Kamailio's clock.
const NEVER: u32 = 0;
const AT_REGISTER: u32 = 1;
const AT_END: u32 = 2;
const AT_ANOTHER: u32 = 3;
const HAPPENED: u32 = 3;
/// Statistics are what follows from the rest.
const STATS: u32 = 1 << 2;
/// What the registration was before is the state in the phone's row before.
const FORMER_BEFORE: u32 = 1 << 3;
/// Less often.
const COMMIT: u32 = 1 << 4;
const OTHER_STATS: u32 = 1 << 5;
const REPLACES: u32 = 1 << 6;
const FLUSH: u32 = 1 << 7;

/// Appends what is told of a registration's event. `is_former_before`: its former state is that of the phone's row
/// before.
pub(super) fn write_happening(
    it: &Happening,
    times: Times,
    is_former_before: bool,
    out: &mut Vec<u8>,
) {
    let binding = &it.registration.binding;
    let happened = match it.happened_at {
        None => NEVER,
        Some(at) if at == binding.last_modified => AT_REGISTER,
        Some(at) if Some(at) == binding.expiry.end() => AT_END,
        Some(_) => AT_ANOTHER,
    };
    let follows = it.stats == Some(Stats::of(&it.registration, times.at));
    let flag = |is: bool, flag: u32| u32::from(is) * flag;
    let flags = happened
        | flag(follows, STATS)
        | flag(is_former_before, FORMER_BEFORE)
        | flag(times.commit != times.seq, COMMIT)
        | flag(it.stats.is_some() && !follows, OTHER_STATS)
        | flag(it.replaces.is_some(), REPLACES)
        | flag(it.flush.is_some(), FLUSH);
    write_number(flags, out);
    if flags & COMMIT != 0 {
        write_number(relative(times.seq, times.commit), out);
    }
    write_moving(&it.registration, times.at, out);
    if is_former_before && let Some(former) = &it.former {
        write_moving(former, times.at, out);
    }
    if happened == AT_ANOTHER {
        write_number(it.happened_at.unwrap_or_default(), out);
    }
    if flags & OTHER_STATS != 0
        && let Some(stats) = &it.stats
    {
        write_stats(stats, out);
    }
    if let Some(Replaces { ruid, after }) = &it.replaces {
        write_text(ruid.as_bytes(), out);
        write_number(*after, out);
    }
    if let Some(flush) = &it.flush {
        write_text(flush.request_id.as_bytes(), out);
        write_text(flush.actor.as_bytes(), out);
    }
}

/// The number and times of an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) seq: u64,
    pub(super) at: u64,
    pub(super) commit: u64,
}

/// What is told of a registration's event, without states.
#[derive(Debug)]
pub(super) struct Told {
    happened: u32,
    happened_at: i64,
    pub(super) commit: u64,
    pub(super) moving: Moving,
    /// That of the former registration, where its state is that of the phone's row before.
    pub(super) former: Option<Moving>,
    follows: bool,
    stats: Option<Stats>,
    replaces: Option<Replaces>,
    flush: Option<Arc<FlushedBy>>,
}

impl Told {
    /// What [`write_happening`] wrote.
    pub(super) fn read(from: &mut Bytes<'_>, seq: u64, at: u64) -> Option<Self> {
        let flags: u32 = number(from)?;
        let has = |flag: u32| flags & flag != 0;
        let commit = if has(COMMIT) {
            seq.wrapping_sub(number::<i64>(from)?.cast_unsigned())
        } else {
            seq
        };
        let moving = Moving::read(from, at)?;
        let former = if has(FORMER_BEFORE) {
            Some(Moving::read(from, at)?)
        } else {
            None
        };
        let happened = flags & HAPPENED;
        let happened_at = if happened == AT_ANOTHER {
            number(from)?
        } else {
            0
        };
        let stats = if has(OTHER_STATS) {
            Some(read_stats(from)?)
        } else {
            None
        };
        let replaces = if has(REPLACES) {
            let (ruid, after) = (from.text()?.into(), number(from)?);
            Some(Replaces { ruid, after })
        } else {
            None
        };
        let flush = if has(FLUSH) {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
            let (request_id, actor) = (text(from.text()?)?, text(from.text()?)?);
            Some(Arc::new(FlushedBy { request_id, actor }))
        } else {
            None
        };
        Some(Self {
            happened,
            happened_at,
            commit,
            moving,
            former,
            follows: has(STATS),
            stats,
            replaces,
            flush,
        })
    }

    /// The event of these registrations.
    pub(super) fn happening(
        self,
        code: Code,
        at: u64,
        registration: Arc<Registration>,
        former: Option<Arc<Registration>>,
    ) -> Option<Happening> {
        let happened_at = match self.happened {
            NEVER => None,
            AT_REGISTER => Some(registration.binding.last_modified),
            AT_END => registration.binding.expiry.end(),
            _ => Some(self.happened_at),
        };
        let follows = self.follows.then(|| Stats::of(&registration, at));
        Some(Happening {
            kind: code.kind()?,
            audience: code.audience()?,
            registration,
            former,
            happened_at,
            replaces: self.replaces,
            flush: self.flush,
            stats: follows.or(self.stats),
        })
    }
}

/// What every REGISTER changes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Moving {
    pub(super) last_modified: i64,
    pub(super) expiry: Expiry,
    pub(super) cseq: Option<Number>,
    pub(super) life: Life,
}

const EXPIRES: u8 = 1;
const HAS_CSEQ: u8 = 2;
const REFRESHED: u8 = 4;
const OLDER: u8 = 8;

/// Appends what every REGISTER changes.
pub(super) fn write_moving(one: &Details, at: u64, out: &mut Vec<u8>) {
    let binding: &Binding = &one.binding;
    let end = binding.expiry.end();
    let age = binding.last_modified.wrapping_sub(one.first_registration);
    let flag = |is: bool, flag: u8| u8::from(is) * flag;
    out.push(
        flag(end.is_some(), EXPIRES)
            | flag(binding.cseq.is_some(), HAS_CSEQ)
            | flag(one.refreshes > 0, REFRESHED)
            | flag(age != 0, OLDER),
    );
    write_number(seconds(at).wrapping_sub(binding.last_modified), out);
    if let Some(end) = end {
        write_number(end.wrapping_sub(binding.last_modified), out);
    }
    if let Some(cseq) = binding.cseq {
        write_number(cseq.get(), out);
    }
    if one.refreshes > 0 {
        write_number(one.refreshes, out);
    }
    if age != 0 {
        write_number(age, out);
    }
}

impl Moving {
    /// What [`write_moving`] wrote.
    pub(super) fn read(from: &mut Bytes<'_>, at: u64) -> Option<Self> {
        let [has] = from.array()?;
        let last_modified = seconds(at).wrapping_sub(number(from)?);
        let expiry = if has & EXPIRES != 0 {
            Expiry::At(last_modified.wrapping_add(number(from)?))
        } else {
            Expiry::Permanent
        };
        let cseq = if has & HAS_CSEQ != 0 {
            Some(Number::new(number(from)?)?)
        } else {
            None
        };
        let refreshes = if has & REFRESHED != 0 {
            number(from)?
        } else {
            0
        };
        let age = if has & OLDER != 0 { number(from)? } else { 0 };
        Some(Self {
            last_modified,
            expiry,
            cseq,
            life: Life {
                first_registration: last_modified.wrapping_sub(age),
                refreshes,
            },
        })
    }

    /// The columns that it says.
    pub(super) fn cells(&self) -> [(Column, crate::registration::Cell<'static>); 3] {
        use crate::registration::Cell;
        let number = |number: Option<i64>| number.map_or(Cell::Absent, Cell::Integer);
        [
            (Column::Expires, number(self.expiry.end())),
            (Column::LastModified, Cell::Integer(self.last_modified)),
            (Column::Cseq, number(self.cseq.map(|cseq| cseq.get()))),
        ]
    }
}

fn write_stats(stats: &Stats, out: &mut Vec<u8>) {
    write_number(stats.registered_at, out);
    write_number(stats.lasted, out);
    write_number(stats.refreshes, out);
    for moment in [stats.last_refresh_at, stats.granted_expires] {
        out.push(u8::from(moment.is_some()));
        write_number(moment.unwrap_or_default(), out);
    }
}

fn read_stats(from: &mut Bytes<'_>) -> Option<Stats> {
    let (registered_at, lasted, refreshes) = (number(from)?, number(from)?, number(from)?);
    let mut moment = || {
        let [is_there] = from.array()?;
        let moment: i64 = number(from)?;
        Some((is_there != 0).then_some(moment))
    };
    Some(Stats {
        registered_at,
        lasted,
        refreshes,
        last_refresh_at: moment()?,
        granted_expires: moment()?,
    })
}

const STATES: [SourceState; 4] = [
    SourceState::Live,
    SourceState::CatchingUp,
    SourceState::Stale,
    SourceState::Unavailable,
];
const GROUPS: [Group; 4] = [Group::Proxy, Group::Source, Group::Account, Group::All];
const CAUSES: [GapCause; 5] = [
    GapCause::Restored,
    GapCause::Overrun,
    GapCause::Forgotten,
    GapCause::TooOld,
    GapCause::OtherLog,
];

/// Appends an event that is not about a registration.
pub(super) fn write_other(what: &What, times: Times, out: &mut Vec<u8>) {
    write_number(relative(times.seq, times.commit), out);
    match what {
        What::Registration(_) | What::Directory => {}
        What::Source(state) => out.push(place(&STATES, state)),
        What::Burst(burst) => {
            write_optional(burst.account.as_ref().map(|id| id.as_bytes()), out);
            out.push(place(&GROUPS, &burst.group));
            write_text(burst.value.as_bytes(), out);
            for number in [burst.lost, burst.of, burst.from, burst.to] {
                write_number(number, out);
            }
        }
        What::Gap(gap) => {
            write_number(gap.from, out);
            out.push(place(&CAUSES, &gap.cause));
        }
    }
}

/// The commit of what [`write_other`] wrote, and what happened.
pub(super) fn read_other(
    from: &mut Bytes<'_>,
    code: Code,
    seq: u64,
    texts: &mut Decoder,
) -> Option<(u64, What)> {
    let commit = seq.wrapping_sub(number::<i64>(from)?.cast_unsigned());
    let what = match code.0 {
        SOURCE => What::Source(*STATES.get(usize::from(from.array::<1>()?[0]))?),
        DIRECTORY => What::Directory,
        BURST => What::Burst(Burst {
            account: match optional(from)? {
                Some(id) => Some(texts.text(id)?),
                None => None,
            },
            group: *GROUPS.get(usize::from(from.array::<1>()?[0]))?,
            value: texts.text(from.text()?)?,
            lost: number(from)?,
            of: number(from)?,
            from: number(from)?,
            to: number(from)?,
        }),
        GAP => What::Gap(Gap {
            from: number(from)?,
            cause: *CAUSES.get(usize::from(from.array::<1>()?[0]))?,
        }),
        _ => return None,
    };
    Some((commit, what))
}

fn place<T: PartialEq>(all: &[T], one: &T) -> u8 {
    let place = all.iter().position(|it| it == one);
    u8::try_from(place.expect("it is one of them")).expect("there are few")
}

fn relative(seq: u64, commit: u64) -> i64 {
    seq.wrapping_sub(commit).cast_signed()
}

fn seconds(milliseconds: u64) -> i64 {
    (milliseconds / 1000).cast_signed()
}

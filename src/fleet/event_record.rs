//! An event as the bytes of its row in the fleet's database: exactly what its node's log has.
//!
//! A version, then entries with their number and length, as in a [`record`], of which those of registrations are.

use std::sync::Arc;

use super::record::{self, Decoder, END, Entries, Malformed};
use crate::events::{
    Audience, Burst, Event, Gap, GapCause, Group, Happening, Kind, Reason, Replaces, Stats, What,
};
use crate::registration::{Bytes, Common, NodeState, OnNode, Registration, write_text};
use crate::registry::{FlushedBy, SourceState};

/// The version that is written. Another one is needed only for what older readers must not pass over.
const VERSION: u8 = 1;

/// Numbers of entries; none is ever used for another one.
const COMMIT: u8 = 1;
const TYPE: u8 = 2;
const REASON: u8 = 3;
const AUDIENCE: u8 = 4;
const REGISTRATION: u8 = 5;
const FORMER: u8 = 6;
const HAPPENED_AT: u8 = 7;
const REPLACES: u8 = 8;
const REPLACED_AFTER: u8 = 9;
const FLUSH_REQUEST: u8 = 10;
const FLUSH_ACTOR: u8 = 11;
const REGISTERED_AT: u8 = 12;
const LASTED: u8 = 13;
const REFRESHES: u8 = 14;
const LAST_REFRESH_AT: u8 = 15;
const GRANTED_EXPIRES: u8 = 16;
const STATE: u8 = 17;
const BURST_ACCOUNT: u8 = 18;
const BURST_GROUP: u8 = 19;
const BURST_VALUE: u8 = 20;
const BURST_LOST: u8 = 21;
const BURST_OF: u8 = 22;
const BURST_FROM: u8 = 23;
const BURST_TO: u8 = 24;
const GAP_FROM: u8 = 25;
const GAP_CAUSE: u8 = 26;

const SOURCE: &str = "source";
const DIRECTORY: &str = "directory";
const BURST: &str = "burst";
const GAP: &str = "gap";

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
const KINDS: [Kind; 4] = [
    Kind::Registered,
    Kind::Moved,
    Kind::Changed,
    Kind::Refreshed,
];

/// Writes entries.
struct Out(Vec<u8>);

impl Out {
    fn put(&mut self, number: u8, value: &[u8]) {
        self.0.push(number);
        write_text(value, &mut self.0);
    }

    fn number(&mut self, number: u8, value: u64) {
        let bytes = value.to_be_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        self.put(number, &bytes[zeros..]);
    }

    fn signed(&mut self, number: u8, value: i64) {
        self.number(number, value.cast_unsigned());
    }
}

/// The record of an event; its number and time stand beside it.
#[must_use]
pub fn encode(event: &Event) -> Vec<u8> {
    let mut out = Out(vec![VERSION]);
    if event.commit != event.seq {
        out.number(COMMIT, event.commit);
    }
    match &event.what {
        What::Registration(happening) => put_happening(happening, event.at, &mut out),
        What::Source(state) => {
            out.put(TYPE, SOURCE.as_bytes());
            out.put(STATE, state.as_str().as_bytes());
        }
        What::Directory => out.put(TYPE, DIRECTORY.as_bytes()),
        What::Burst(burst) => {
            out.put(TYPE, BURST.as_bytes());
            if let Some(account) = &burst.account {
                out.put(BURST_ACCOUNT, account.as_bytes());
            }
            out.put(BURST_GROUP, burst.group.as_str().as_bytes());
            out.put(BURST_VALUE, burst.value.as_bytes());
            out.number(BURST_LOST, burst.lost);
            out.number(BURST_OF, burst.of);
            out.number(BURST_FROM, burst.from);
            out.number(BURST_TO, burst.to);
        }
        What::Gap(gap) => {
            out.put(TYPE, GAP.as_bytes());
            out.number(GAP_FROM, gap.from);
            out.put(GAP_CAUSE, gap.cause.as_str().as_bytes());
        }
    }
    out.0.push(END);
    out.0
}

fn put_happening(happening: &Happening, at: u64, out: &mut Out) {
    out.put(TYPE, happening.kind.type_of().as_str().as_bytes());
    if let Kind::Terminated(reason) = happening.kind {
        out.put(REASON, reason.as_str().as_bytes());
    }
    match happening.audience {
        Audience::All => {}
        Audience::System => out.put(AUDIENCE, b"system"),
        Audience::Account => out.put(AUDIENCE, b"account"),
    }
    out.put(REGISTRATION, &record::encode(&happening.registration));
    if let Some(former) = &happening.former {
        out.put(FORMER, &record::encode(former));
    }
    if let Some(at) = happening.happened_at {
        out.signed(HAPPENED_AT, at);
    }
    if let Some(Replaces { ruid, after }) = &happening.replaces {
        out.put(REPLACES, ruid.as_bytes());
        out.number(REPLACED_AFTER, *after);
    }
    if let Some(flush) = &happening.flush {
        out.put(FLUSH_REQUEST, flush.request_id.as_bytes());
        out.put(FLUSH_ACTOR, flush.actor.as_bytes());
    }
    if let Some(stats) = &happening.stats {
        // Without entries they are what follows from the registration.
        let follows = *stats == Stats::of(&happening.registration, at);
        out.signed(REGISTERED_AT, stats.registered_at);
        if !follows {
            out.number(LASTED, stats.lasted);
            out.number(REFRESHES, stats.refreshes.into());
            if let Some(at) = stats.last_refresh_at {
                out.signed(LAST_REFRESH_AT, at);
            }
            if let Some(granted) = stats.granted_expires {
                out.signed(GRANTED_EXPIRES, granted);
            }
        }
    }
}

/// The event of a record.
///
/// # Errors
/// Where it is not one, or one of a newer version.
pub fn decode(
    decoder: &mut Decoder,
    (seq, at): (u64, u64),
    node: &Arc<str>,
    bytes: &[u8],
) -> Result<Event, Malformed> {
    let mut rest = Bytes(bytes);
    if rest.array() != Some([VERSION]) {
        return Err(Malformed);
    }
    let entries = Entries::take(&mut rest).ok_or(Malformed)?;
    let what = match entries.str(TYPE)?.ok_or(Malformed)? {
        SOURCE => What::Source(named(&STATES, SourceState::as_str, entries.str(STATE)?)?),
        DIRECTORY => What::Directory,
        BURST => What::Burst(Burst {
            account: entries.str(BURST_ACCOUNT)?.map(Arc::from),
            group: named(&GROUPS, Group::as_str, entries.str(BURST_GROUP)?)?,
            value: entries.str(BURST_VALUE)?.ok_or(Malformed)?.into(),
            lost: number(&entries, BURST_LOST)?.ok_or(Malformed)?,
            of: number(&entries, BURST_OF)?.ok_or(Malformed)?,
            from: number(&entries, BURST_FROM)?.ok_or(Malformed)?,
            to: number(&entries, BURST_TO)?.ok_or(Malformed)?,
        }),
        GAP => What::Gap(Gap {
            from: number(&entries, GAP_FROM)?.ok_or(Malformed)?,
            cause: named(&CAUSES, GapCause::as_str, entries.str(GAP_CAUSE)?)?,
        }),
        kind => What::Registration(Box::new(happening(decoder, kind, at, node, &entries)?)),
    };
    let commit = number(&entries, COMMIT)?.unwrap_or(seq);
    Ok(Event {
        seq,
        at,
        commit,
        what,
    })
}

fn happening(
    decoder: &mut Decoder,
    kind: &str,
    at: u64,
    node: &Arc<str>,
    entries: &Entries<'_>,
) -> Result<Happening, Malformed> {
    let kind = match entries.str(REASON)? {
        Some(reason) => Kind::Terminated(Reason::from_name(reason).ok_or(Malformed)?),
        None => named(&KINDS, |kind| kind.type_of().as_str(), Some(kind))?,
    };
    let mut registration = |number: u8| {
        let record = entries.bytes(number);
        record
            .map(|record| of_node(decoder, node, record))
            .transpose()
    };
    let former = registration(FORMER)?;
    let registration = registration(REGISTRATION)?.ok_or(Malformed)?;
    let replaces = entries.text(REPLACES).map(|ruid| {
        let after = number(entries, REPLACED_AFTER)?.unwrap_or_default();
        Ok::<_, Malformed>(Replaces { ruid, after })
    });
    let flush = entries.str(FLUSH_REQUEST)?.zip(entries.str(FLUSH_ACTOR)?);
    let stats = stats(entries, &registration, at)?;
    Ok(Happening {
        kind,
        audience: match entries.str(AUDIENCE)? {
            None => Audience::All,
            Some("system") => Audience::System,
            Some("account") => Audience::Account,
            Some(_) => return Err(Malformed),
        },
        registration,
        former,
        happened_at: signed(entries, HAPPENED_AT)?,
        replaces: replaces.transpose()?,
        flush: flush.map(|(request_id, actor)| {
            Arc::new(FlushedBy {
                request_id: request_id.to_owned(),
                actor: actor.to_owned(),
            })
        }),
        stats,
    })
}

fn stats(entries: &Entries<'_>, one: &Registration, at: u64) -> Result<Option<Stats>, Malformed> {
    let Some(registered_at) = signed(entries, REGISTERED_AT)? else {
        return Ok(None);
    };
    let Some(lasted) = number(entries, LASTED)? else {
        return Ok(Some(Stats::of(one, at)));
    };
    let refreshes = number(entries, REFRESHES)?.unwrap_or_default();
    Ok(Some(Stats {
        registered_at,
        lasted,
        refreshes: u32::try_from(refreshes).map_err(|_| Malformed)?,
        last_refresh_at: signed(entries, LAST_REFRESH_AT)?,
        granted_expires: signed(entries, GRANTED_EXPIRES)?,
    }))
}

/// A registration that is on this node.
fn of_node(
    decoder: &mut Decoder,
    node: &Arc<str>,
    record: &[u8],
) -> Result<Arc<Registration>, Malformed> {
    let mut details = decoder.decode(record)?;
    let common = Common {
        node: Some(OnNode {
            name: Arc::clone(node),
            state: NodeState::Live,
            superseded_by: None,
        }),
        ..(*details.common).clone()
    };
    details.common = decoder.common_of(&common);
    Ok(Arc::new(Registration::new(details)))
}

fn named<T: Copy>(
    all: &[T],
    name_of: impl Fn(T) -> &'static str,
    name: Option<&str>,
) -> Result<T, Malformed> {
    let found = all.iter().find(|one| Some(name_of(**one)) == name);
    found.copied().ok_or(Malformed)
}

fn number(entries: &Entries<'_>, number: u8) -> Result<Option<u64>, Malformed> {
    let Some(bytes) = entries.bytes(number) else {
        return Ok(None);
    };
    let mut whole = [0; 8];
    let start = whole.len().checked_sub(bytes.len()).ok_or(Malformed)?;
    whole[start..].copy_from_slice(bytes);
    Ok(Some(u64::from_be_bytes(whole)))
}

fn signed(entries: &Entries<'_>, number: u8) -> Result<Option<i64>, Malformed> {
    Ok(self::number(entries, number)?.map(u64::cast_signed))
}

#[cfg(test)]
mod tests;

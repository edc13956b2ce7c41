//! Events: what changed in the lists, as people and programs are told.
//!
//! The registry's feed says what became of each row; [`Deriver`] makes of it what a phone did. An [`Event`] is what the
//! stream, the history and webhooks have in common.

pub mod burst;
pub mod day;
pub mod derive;
mod diff;
pub mod flap;
pub mod group;
pub mod json;
mod open;
mod recent;
mod view;
pub mod why;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::registration::{Registration, Text};
use crate::registry::{FlushedBy, SourceState};
pub use derive::Deriver;
pub use view::{Seen, Viewer};

/// Something that happened, with its place in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its number in the log; 0 for what is told and not kept ([`Kind::Refreshed`]).
    pub seq: u64,
    /// When usrlocd saw it, in milliseconds since the Unix epoch.
    pub at: u64,
    /// The number of the first event that was committed with it.
    pub commit: u64,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Something became of a registration.
    Registration(Box<Happening>),
    /// The state of the source changed.
    Source(SourceState),
    /// The names or owners of more than 1,000 rows changed at once: lists are to be read again.
    Directory,
    /// Many phones were lost at once.
    Burst(Burst),
    /// Events are missing.
    Gap(Gap),
}

/// What became of a registration.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// What it was.
    pub kind: Kind,
    /// Whose lists show it.
    pub audience: Audience,
    /// The registration as it is now; of one that went, the last one known.
    pub registration: Arc<Registration>,
    /// What it was before, where it was listed before and after.
    pub former: Option<Arc<Registration>>,
    /// When it happened by Kamailio's clock, Unix seconds; `None` where the table does not tell.
    pub happened_at: Option<i64>,
    /// Of one that is new: the one that it replaces.
    pub replaces: Option<Replaces>,
    /// The flush that did it.
    pub flush: Option<Arc<FlushedBy>>,
    /// Of one that went: what is known of its life.
    pub stats: Option<Stats>,
}

/// What became of a registration, as the lists that have it before and after show it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// It is listed, and was not before.
    Registered,
    /// Host or port of its source or contact differ.
    Moved,
    /// Another visible key differs; also its owner.
    Changed,
    /// Only times and `CSeq` differ.
    Refreshed,
    /// It is not listed any more.
    Terminated(Reason),
}

/// Why a registration is not listed any more.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// Its time is over.
    Expired,
    /// A flush removed it.
    Flushed,
    /// Its successor is there.
    Replaced,
    /// It belongs to another account.
    AccountChanged,
    /// It went before its time: unregistered, removed in Kamailio, or its connection was lost; the table does not tell.
    Removed,
}

/// Whose lists show what happened to a registration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Audience {
    /// Those of the system and of the account (where the owner changed, of both accounts).
    #[default]
    All,
    /// That of the system alone.
    System,
    /// That of the account alone.
    Account,
}

/// What a new registration replaces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replaces {
    /// The ruid of the one that went.
    pub ruid: Text,
    /// How long before, in milliseconds.
    pub after: u64,
}

/// What is known of the life of a registration that went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stats {
    /// When it was first seen, Unix seconds.
    pub registered_at: i64,
    /// When it was refreshed last, Unix seconds; `None` where it never was.
    pub last_refresh_at: Option<i64>,
    /// How long it was there, in seconds.
    pub lasted: u64,
    /// How often it was refreshed.
    pub refreshes: u32,
    /// The seconds granted at last; `None` for a permanent contact.
    pub granted_expires: Option<i64>,
}

/// Many phones of one group that were lost within a short time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Burst {
    /// Whom it is told: the account that was counted alone; `None` where all were.
    pub account: Option<Arc<str>>,
    /// What they have in common.
    pub group: Group,
    /// Which one: a network, a socket, an account's id; empty for all.
    pub value: Arc<str>,
    /// How many phones were lost.
    pub lost: u64,
    /// Of how many that were there.
    pub of: u64,
    /// When the first was lost, in milliseconds since the Unix epoch.
    pub from: u64,
    /// When the last that is counted was lost.
    pub to: u64,
}

/// What phones have in common, the smallest group first where they are equally large.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Group {
    /// The socket of the proxy.
    Proxy,
    /// The network that they come from: /24, or /48 for IPv6.
    Source,
    /// The account.
    Account,
    /// All there are.
    All,
}

/// Events are missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// The number of the last event before it.
    pub from: u64,
    /// Why.
    pub cause: GapCause,
}

/// Why events are missing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GapCause {
    /// usrlocd could not watch for a while. The events that follow bring every state up to now.
    Restored,
    /// More happened than could be followed one by one: lists are to be read again.
    Overrun,
    /// Events of a user were deleted on request: lists are to be read again.
    Forgotten,
    /// The events that are asked for are not kept any more.
    TooOld,
    /// The events that are asked for are of a log that is no more, or are still to come.
    OtherLog,
}

/// What an event is, as clients choose it with `events=`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Type {
    /// [`Kind::Registered`]
    Registered,
    /// [`Kind::Moved`]
    Moved,
    /// [`Kind::Changed`]
    Changed,
    /// [`Kind::Refreshed`]
    Refreshed,
    /// [`Kind::Terminated`]
    Terminated,
    /// [`What::Source`]
    Source,
    /// [`What::Burst`]
    Burst,
    /// [`What::Directory`]
    Directory,
    /// [`What::Gap`]
    Gap,
}

impl Type {
    /// Every type that can be chosen.
    pub const CHOOSABLE: [Self; 8] = [
        Self::Registered,
        Self::Moved,
        Self::Changed,
        Self::Refreshed,
        Self::Terminated,
        Self::Source,
        Self::Burst,
        Self::Directory,
    ];

    /// The name in `type` and in `events=`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Moved => "moved",
            Self::Changed => "changed",
            Self::Refreshed => "refreshed",
            Self::Terminated => "terminated",
            Self::Source => "source",
            Self::Burst => "burst",
            Self::Directory => "directory",
            Self::Gap => "gap",
        }
    }

    /// The type that can be chosen by this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::CHOOSABLE.into_iter().find(|one| one.as_str() == name)
    }
}

impl Kind {
    /// Its type.
    #[must_use]
    pub fn type_of(self) -> Type {
        match self {
            Self::Registered => Type::Registered,
            Self::Moved => Type::Moved,
            Self::Changed => Type::Changed,
            Self::Refreshed => Type::Refreshed,
            Self::Terminated(_) => Type::Terminated,
        }
    }
}

impl Kind {
    /// Why it is not listed any more, where it is not.
    #[must_use]
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Terminated(reason) => Some(reason),
            Self::Registered | Self::Moved | Self::Changed | Self::Refreshed => None,
        }
    }
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::Expired,
        Self::Flushed,
        Self::Replaced,
        Self::AccountChanged,
        Self::Removed,
    ];

    /// The name in `reason`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Flushed => "flushed",
            Self::Replaced => "replaced",
            Self::AccountChanged => "account_changed",
            Self::Removed => "removed",
        }
    }

    /// The reason of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }
}

impl Group {
    /// The name in `group`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Source => "source",
            Self::Account => "account",
            Self::All => "all",
        }
    }
}

impl GapCause {
    /// The name in `cause`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restored => "restored",
            Self::Overrun => "overrun",
            Self::Forgotten => "forgotten",
            Self::TooOld => "too_old",
            Self::OtherLog => "other_log",
        }
    }

    /// Whether lists are to be read again. After [`Restored`](Self::Restored) the events that follow are enough.
    #[must_use]
    pub fn asks_for_lists(self) -> bool {
        self != Self::Restored
    }
}

impl Event {
    /// The burst that it tells of.
    #[must_use]
    pub fn burst(&self) -> Option<&Burst> {
        match &self.what {
            What::Burst(burst) => Some(burst),
            _ => None,
        }
    }
}

impl Happening {
    /// Whether the registration went from one account to another, which each of them sees in its own way.
    #[must_use]
    pub fn is_new_owner(&self) -> bool {
        let former = self.former.as_ref();
        former.is_some_and(|former| former.account_id != self.registration.account_id)
    }
}

//! What can be wrong with a parameter, and the rule that it breaks.

use thiserror::Error;

/// What is wrong with a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum Problem {
    /// No such parameter.
    #[error("unknown parameter")]
    UnknownParameter,
    /// No such key of the item.
    #[error("unknown key")]
    UnknownKey,
    /// Not a whole number.
    #[error("not a whole number")]
    NotANumber,
    /// Not an id of an event.
    #[error("not an event id")]
    BadEventId,
    /// Not a type of events.
    #[error("unknown event type")]
    UnknownEvent,
    /// A stream does not have it.
    #[error("a stream of changes does not have it")]
    NotOfAStream,
    /// Only lists have changes to follow.
    #[error("only lists can be watched")]
    NotAList,
    /// Not a moment.
    #[error("must be a Unix time in seconds or an RFC 3339 time such as 2026-11-30T15:00:00Z")]
    NotATime,
    /// Not a reason for which registrations end.
    #[error("unknown reason")]
    UnknownReason,
    /// Not what events are counted by.
    #[error("must be source, user_agent or proxy")]
    UnknownGroup,
    /// Larger than pages may be.
    #[error("must be at most 1000")]
    TooLarge,
    /// The answer would need too many events.
    #[error("more than 1000000 events match; choose a shorter time with from and to")]
    TooManyEvents,
    /// Zero.
    #[error("must be at least 1")]
    Zero,
    /// Not `true` or `false`.
    #[error("must be true or false")]
    NotAFlag,
    /// Not a `next_start_key` of this list.
    #[error("not a next_start_key of this list")]
    BadCursor,
    /// Given twice, with different values.
    #[error("given twice with different values")]
    Contradiction,
    /// Applies to the flush of a user, not of an account.
    #[error("only for the flush of one user")]
    NotOfAnAccount,
    /// Not one of the events that phones may be asked for.
    #[error("must be check-sync or one of [notify] events")]
    UnknownRequest,
    /// Goes with another event.
    #[error("only with the event check-sync")]
    NotOfEvent,
    /// Missing.
    #[error("missing")]
    Missing,
    /// Belongs in the query, but is in the body.
    #[error("belongs in the query, not in the body")]
    InBody,
    /// Not a JSON object.
    #[error("must be an object")]
    NotAnObject,
    /// Not an array of strings.
    #[error("must be an array of strings")]
    NotTexts,
    /// An array without an element.
    #[error("must not be empty")]
    Empty,
    /// An array with too many elements.
    #[error("has more than 2000 elements")]
    TooMany,
    /// A prefix in a search without anything after it.
    #[error("a prefix must be followed by a value, without a blank: user:alice")]
    NoValue,
    /// Not an address or a network.
    #[error(
        "ip: must be followed by an address or a network, such as 203.0.113.7 or 203.0.113.0/24"
    )]
    NotANetwork,
    /// Not a transport.
    #[error("transport: must be followed by udp, tcp, tls, sctp, ws or wss")]
    NotATransport,
    /// Not a bound of the time that remains.
    #[error("expires: must be followed by <, <=, > or >= and whole seconds, such as expires:<60")]
    NotASpan,
    /// Neither `yes` nor `no`.
    #[error("flapping: must be followed by yes or no")]
    NotYesOrNo,
    /// More words than a search may have.
    #[error("has more than 32 words")]
    TooManyWords,
    /// Time alone changes which registrations a search finds.
    #[error(
        "expires: and flapping: change without an event, so a stream cannot follow them; read the list instead"
    )]
    NotFollowed,
    /// Neither of the two scopes.
    #[error("must be fleet or node")]
    UnknownScope,
    /// There is no fleet.
    #[error("this node is not part of a fleet: [fleet] url is not set")]
    NoFleet,
    /// There is no node here.
    #[error("only a node has registrations of its own; this is the fleet")]
    NoNode,
    /// A node that is not gone.
    #[error("the node runs, or did less than a minute ago; stop it first")]
    IsRunning,
    /// What only nodes know.
    #[error("not known for the fleet; ask the node")]
    NotOfFleet,
    /// More than is read at once.
    #[error("more than 100000 registrations match; ask page by page, with page_size")]
    TooManyRows,
    /// More than nodes are asked for at once.
    #[error("more than 100000 registrations match; narrow them with q, ruids or a filter")]
    TooManyChosen,
    /// A flush of all accounts that names no registrations.
    #[error(
        "say which registrations to flush: q, ruids or a filter is needed where no account is named"
    )]
    NothingChosen,
}

impl Problem {
    /// The name of the rule that is broken, in the manner of Kazoo's validation errors.
    pub(super) fn rule(self) -> &'static str {
        match self {
            Self::UnknownParameter
            | Self::UnknownReason
            | Self::UnknownGroup
            | Self::UnknownKey
            | Self::UnknownEvent
            | Self::NotOfAnAccount
            | Self::NotOfAStream
            | Self::NotAList
            | Self::UnknownRequest
            | Self::NotOfEvent
            | Self::NotFollowed
            | Self::UnknownScope
            | Self::NoFleet
            | Self::IsRunning
            | Self::NoNode
            | Self::NotOfFleet
            | Self::InBody => "forbidden",
            Self::Missing | Self::NothingChosen => "required",
            Self::TooLarge | Self::TooManyEvents | Self::TooManyRows | Self::TooManyChosen => {
                "maximum"
            }
            Self::NotATime
            | Self::NotANumber
            | Self::NotAFlag
            | Self::NotAnObject
            | Self::NotTexts => "type",
            Self::Zero => "minimum",
            Self::Empty => "minItems",
            Self::TooMany | Self::TooManyWords => "maxItems",
            Self::BadCursor
            | Self::BadEventId
            | Self::NoValue
            | Self::NotANetwork
            | Self::NotATransport
            | Self::NotASpan
            | Self::NotYesOrNo => "invalid",
            Self::Contradiction => "unique",
        }
    }
}

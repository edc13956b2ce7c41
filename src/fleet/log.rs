//! The logs of nodes, as far as they are in the fleet's database, and what they have.

use std::sync::Arc;

use crate::event_log::LogId;
use crate::events::Event;

/// A node's log, as far as it is in the database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// The id of its node.
    pub node: Arc<str>,
    /// Which log of that node it is.
    pub id: LogId,
    /// The name of its node, which may be forgotten.
    pub name: Arc<str>,
    /// The number of the newest event.
    pub newest: u64,
    /// The number of the last event that was deleted for its age; 0 where none was.
    pub pruned: u64,
}

/// An event, and where it happened.
#[derive(Clone, PartialEq, Debug)]
pub struct Told {
    /// The log that has it.
    pub log: Arc<Log>,
    /// What happened.
    pub event: Event,
}

//! Where a registration is in a fleet: its node, that node's state, and the node that has the same phone later.

use std::fmt;
use std::sync::Arc;

use super::item::json::write_string;

/// The state of a node, by the beats that it writes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum NodeState {
    /// It beats, and what it publishes is what it has.
    Live,
    /// It beats, and has not compared its rows with the published ones since its start.
    Restarting,
    /// It has not beaten for some seconds.
    Stale,
    /// It has not beaten for a minute.
    Lost,
    /// It was stopped.
    Stopped,
}

/// The node that a registration is on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OnNode {
    /// The node's name.
    pub name: Arc<str>,
    /// The node's state.
    pub state: NodeState,
    /// The same phone, registered later on another node.
    pub superseded_by: Option<Successor>,
}

/// A registration on another node that came later.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Successor {
    /// The name of its node.
    pub node: Arc<str>,
    /// Its ruid, as it is shown.
    pub ruid: Arc<str>,
}

/// A text as the fleet's database has it, where texts are UTF-8 and have no zero: what it has instead is as lists show it.
#[must_use]
pub fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace('\0', "\u{fffd}")
}

/// The same of a user's name, which is told from others in any case.
#[must_use]
pub fn lower_shown(user: &[u8]) -> String {
    shown(&user.to_ascii_lowercase())
}

impl NodeState {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Live,
        Self::Restarting,
        Self::Stale,
        Self::Lost,
        Self::Stopped,
    ];

    /// The name in answers and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Restarting => "restarting",
            Self::Stale => "stale",
            Self::Lost => "lost",
            Self::Stopped => "stopped",
        }
    }
}

/// As JSON.
impl fmt::Display for Successor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| {
            let mut out = Vec::new();
            write_string(text, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        let (node, ruid) = (quoted(&self.node), quoted(&self.ruid));
        write!(f, "{{\"node\":{node},\"ruid\":{ruid}}}")
    }
}

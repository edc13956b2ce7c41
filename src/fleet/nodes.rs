//! The nodes of a fleet, and what their states say of an answer. Pure: states follow from the beats, by the database's
//! clock alone.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::registration::NodeState;

/// A node whose last beat is older than this is stale.
pub(super) const LIVE: Duration = Duration::from_secs(6);

/// A node whose last beat is older than this is lost.
const STALE: Duration = Duration::from_mins(1);

/// Nodes that turn stale within this time of each other may have a cause in common.
const TOGETHER: Duration = Duration::from_secs(10);

/// How long after that the cause is suspected, at most; nodes that are away for longer are away.
const SUSPECTED: Duration = Duration::from_hours(1);

/// What is read of a node.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// Its id, as text.
    pub id: String,
    /// Its name.
    pub name: Arc<str>,
    /// Raised at each start.
    pub epoch: i64,
    /// The epoch in which its rows were last compared with the published ones.
    pub synced_epoch: i64,
    /// How long ago its last beat was, by the database's clock.
    pub silent: Duration,
    /// Whether it said that it stops.
    pub is_stopped: bool,
    /// The number of its last transaction.
    pub seq: i64,
    /// How many registrations it publishes; once it is not live, how many of them have not ended.
    pub rows: u64,
    /// The state of its own source.
    pub source_state: String,
    /// When that was known to be right, Unix seconds.
    pub source_as_of: Option<f64>,
    /// How old that was at its last beat.
    pub lag_ms: Option<i64>,
    /// By how much its clock is ahead of the database's.
    pub clock_offset_ms: Option<i64>,
    /// Its version.
    pub version: String,
}

/// A node.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// What was read of it.
    pub row: Row,
    /// Its state.
    pub state: NodeState,
}

/// How well what is answered is known to be all there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FleetState {
    /// Every node is live, and so is its source.
    Live,
    /// Some are.
    Partial,
    /// None is.
    Stale,
}

/// The nodes at one moment, by name.
#[derive(Debug, Default)]
pub struct Nodes {
    all: Vec<Node>,
    /// The place of each in `all`, by its id.
    places: HashMap<String, usize>,
    /// The places of those whose rows cannot all be read.
    unreadable: Mutex<HashSet<usize>>,
    /// When they were read, by the database's clock, Unix seconds.
    pub now: i64,
}

impl Row {
    fn state(&self) -> NodeState {
        if self.is_stopped {
            NodeState::Stopped
        } else if self.silent > STALE {
            NodeState::Lost
        } else if self.silent > LIVE {
            NodeState::Stale
        } else if self.synced_epoch < self.epoch {
            NodeState::Restarting
        } else {
            NodeState::Live
        }
    }
}

impl Node {
    /// Whether its rows are what its Kamailio has, as far as it can be known.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state == NodeState::Live && self.row.source_state == "live"
    }

    /// Whether an answer lacks something because of it, or may be wrong. Of a node that was stopped nothing is left once
    /// its rows have ended.
    fn is_missed(&self) -> bool {
        let is_over = self.state == NodeState::Stopped && self.row.rows == 0;
        !self.is_live() && !is_over
    }
}

impl FleetState {
    /// The name in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Partial => "partial",
            Self::Stale => "stale",
        }
    }
}

impl Nodes {
    /// These nodes, read at this Unix second of the database's clock.
    #[must_use]
    pub fn new(rows: Vec<Row>, now: i64) -> Self {
        let node = |row: Row| Node {
            state: row.state(),
            row,
        };
        let mut all: Vec<_> = rows.into_iter().map(node).collect();
        all.sort_by(|one, other| one.row.name.cmp(&other.row.name));
        let ids = all.iter().map(|node| node.row.id.clone());
        let places = ids.zip(0..).collect();
        Self {
            all,
            places,
            unreadable: Mutex::default(),
            now,
        }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Node] {
        &self.all
    }

    /// Sets how many registrations of a node have not ended.
    pub(super) fn leave(&mut self, id: &str, rows: u64) {
        if let Some(place) = self.places.get(id) {
            self.all[*place].row.rows = rows;
        }
    }

    /// Those that are not live: their rows end with their deadlines.
    pub(super) fn silent(&self) -> impl Iterator<Item = &Node> {
        let all = self.all.iter();
        all.filter(|node| node.state != NodeState::Live)
    }

    /// Not all rows of this node can be read.
    pub(super) fn cannot_read(&self, node: &Node) {
        if let Some(place) = self.places.get(&node.row.id) {
            let unreadable = self.unreadable.lock();
            let mut unreadable = unreadable.unwrap_or_else(PoisonError::into_inner);
            unreadable.insert(*place);
        }
    }

    /// Whether an answer lacks rows of this node since they cannot be read.
    #[must_use]
    pub fn is_unreadable(&self, node: &Node) -> bool {
        let unreadable = self.unreadable.lock();
        let unreadable = unreadable.unwrap_or_else(PoisonError::into_inner);
        let place = self.places.get(&node.row.id);
        place.is_some_and(|place| unreadable.contains(place))
    }

    /// The node with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Node> {
        self.all.get(*self.places.get(id)?)
    }

    /// The state of what they have together.
    #[must_use]
    pub fn state(&self) -> FleetState {
        if !self.all.iter().any(Node::is_live) {
            FleetState::Stale
        } else if self.missed().next().is_some() {
            FleetState::Partial
        } else {
            FleetState::Live
        }
    }

    /// The names of those because of which the answer is not known to be all there is.
    pub fn missed(&self) -> impl Iterator<Item = &str> {
        let missed = |node: &&Node| node.is_missed() || self.is_unreadable(node);
        let missed = self.all.iter().filter(missed);
        missed.map(|node| &*node.row.name)
    }

    /// The moment (Unix seconds) up to which every one of them is known; `None` where one never was.
    #[must_use]
    pub fn as_of(&self) -> Option<f64> {
        let counts = |node: &&Node| node.is_live() || node.is_missed();
        let mut moments = self.all.iter().filter(counts);
        let first = moments.next()?.row.source_as_of?;
        moments.try_fold(first, |least, node| Some(least.min(node.row.source_as_of?)))
    }

    /// Whether so many turned stale at once that the database or the network is more likely to be the cause than the
    /// nodes.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        let silent = |node: &Node| match node.state {
            NodeState::Stale | NodeState::Lost => Some(node.row.silent),
            NodeState::Live | NodeState::Restarting | NodeState::Stopped => None,
        };
        let mut silent: Vec<_> = self.all.iter().filter_map(silent).collect();
        silent.retain(|silent| *silent <= SUSPECTED);
        silent.sort_unstable();
        let running = self.all.iter();
        let running = running.filter(|node| node.state != NodeState::Stopped);
        let running = running.count();
        silent.iter().enumerate().any(|(first, from)| {
            let together = silent[first..].partition_point(|other| *other <= *from + TOGETHER);
            together >= 2 && together * 10 > running * 3
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, silent: u64) -> Row {
        Row {
            id: format!("id-{name}"),
            name: name.into(),
            epoch: 3,
            synced_epoch: 3,
            silent: Duration::from_secs(silent),
            is_stopped: false,
            seq: 1,
            rows: 7,
            source_state: "live".to_owned(),
            source_as_of: Some(1000.5),
            lag_ms: Some(4),
            clock_offset_ms: Some(0),
            version: "1.2.3".to_owned(),
        }
    }

    fn stopped(name: &str, rows: u64) -> Row {
        Row {
            is_stopped: true,
            rows,
            ..row(name, 100)
        }
    }

    fn suspect(silent: &[u64]) -> bool {
        let rows = silent.iter().zip(0..);
        let rows = rows.map(|(silent, number)| row(&format!("k{number}"), *silent));
        Nodes::new(rows.collect(), 0).is_suspect()
    }

    #[test]
    fn beats_and_epochs_tell_the_state() {
        let of = |row: Row| Nodes::new(vec![row], 0).all()[0].state;
        for (silent, state) in [
            (0, NodeState::Live),
            (6, NodeState::Live),
            (7, NodeState::Stale),
            (60, NodeState::Stale),
            (61, NodeState::Lost),
        ] {
            assert_eq!(of(row("k1", silent)), state, "{silent}");
        }
        let restarting = |silent| Row {
            synced_epoch: 2,
            ..row("k1", silent)
        };
        assert_eq!(of(restarting(1)), NodeState::Restarting);
        assert_eq!(of(restarting(9)), NodeState::Stale);
        assert_eq!(of(stopped("k1", 7)), NodeState::Stopped);
    }

    #[test]
    fn one_node_that_is_not_live_makes_the_answer_partial() {
        let of = |rows: Vec<Row>| {
            let nodes = Nodes::new(rows, 0);
            let missed: Vec<_> = nodes.missed().map(str::to_owned).collect();
            (nodes.state(), missed.join(", "))
        };
        let live = || row("k1", 0);
        let expected = |state, missed: &str| (state, missed.to_owned());
        assert_eq!(of(vec![live()]), expected(FleetState::Live, ""));
        assert_eq!(
            of(vec![row("k3", 9), live(), row("k2", 99)]),
            expected(FleetState::Partial, "k2, k3")
        );
        assert_eq!(of(vec![row("k2", 9)]), expected(FleetState::Stale, "k2"));
        assert_eq!(of(Vec::new()), expected(FleetState::Stale, ""));
        let catching_up = Row {
            source_state: "catching_up".to_owned(),
            ..row("k2", 0)
        };
        assert_eq!(of(vec![live(), catching_up]).1, "k2");
        // Until its rows have ended.
        assert_eq!(of(vec![live(), stopped("k2", 1)]).1, "k2");
        assert_eq!(
            of(vec![live(), stopped("k2", 0)]),
            expected(FleetState::Live, "")
        );
    }

    #[test]
    fn all_are_known_up_to_the_moment_of_the_oldest() {
        let of = |rows: Vec<Row>| Nodes::new(rows, 0).as_of();
        let old = || Row {
            source_as_of: Some(900.0),
            ..row("k2", 99)
        };
        let never = Row {
            source_as_of: None,
            ..row("k3", 0)
        };
        assert_eq!(of(vec![row("k1", 0), old()]), Some(900.0));
        assert_eq!(of(vec![row("k1", 0), old(), never]), None);
        assert_eq!(of(Vec::new()), None);
    }

    #[test]
    fn many_that_turn_stale_together_are_suspect() {
        assert!(suspect(&[0, 9, 9]));
        assert!(suspect(&[0, 0, 0, 100, 110, 500]));
        // One alone may have died.
        assert!(!suspect(&[0, 9]));
        assert!(!suspect(&[9]));
        // Each at a time of its own.
        assert!(!suspect(&[0, 9, 20, 40]));
        // 3 of 10 are not more than 30 %.
        assert!(!suspect(&[9, 9, 9, 0, 0, 0, 0, 0, 0, 0]));
        assert!(suspect(&[9, 9, 9, 0, 0, 0, 0, 0, 0]));
        assert!(!suspect(&[0, 4000, 4000]));
    }
}

//! The fleet, as `usrlocd fleet` sees it.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::{Book, Labels, set};

/// A gauge for each node.
type OfNodes = Family<Vec<(&'static str, String)>, Gauge>;

/// The fleet at the moment of a scrape.
#[derive(Clone, PartialEq, Debug)]
pub struct FleetFigures {
    /// Each node.
    pub nodes: Vec<NodeFigures>,
    /// The states that nodes have, each with the number of nodes in it.
    pub states: Vec<(&'static str, usize)>,
    /// Whether the database could be read when that was last tried.
    pub is_reachable: bool,
    /// Whether many nodes stopped publishing within seconds.
    pub is_suspect: bool,
    /// How often the database could not be read.
    pub failures: u64,
    /// How many rows could not be read.
    pub unreadable: u64,
}

/// A node at that moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeFigures {
    /// Its name.
    pub name: String,
    /// Its registrations.
    pub rows: u64,
    /// Seconds since its last sign of life.
    pub silent: u64,
    /// Whether it is live, and so is its source.
    pub is_live: bool,
}

/// The metrics of that. A node has none of them.
#[derive(Debug)]
pub(super) struct Reader {
    states: Family<Labels, Gauge>,
    live: OfNodes,
    rows: OfNodes,
    silent: OfNodes,
    reachable: Family<Labels, Gauge>,
    suspect: Family<Labels, Gauge>,
    failures: Family<Labels, Counter>,
    unreadable: Family<Labels, Counter>,
}

impl Reader {
    pub(super) fn new(book: &mut Book<'_>) -> Self {
        Self {
            states: book.gauges(
                "fleet_nodes",
                "Nodes of the fleet by state; only of usrlocd fleet",
            ),
            live: book.enter(
                "fleet_node_live",
                "1 while the node is live and its source is too; only of usrlocd fleet",
                Family::default(),
            ),
            rows: book.enter(
                "fleet_node_registrations",
                "Registrations of the node; only of usrlocd fleet",
                Family::default(),
            ),
            silent: book.enter(
                "fleet_node_silent_seconds",
                "Time since the node's last sign of life; only of usrlocd fleet",
                Family::default(),
            ),
            reachable: book.gauges(
                "fleet_reachable",
                "1 while the fleet's database can be read; only of usrlocd fleet",
            ),
            suspect: book.gauges(
                "fleet_suspect",
                "1 while many nodes stopped publishing within seconds; only of usrlocd fleet",
            ),
            failures: book.counters(
                "fleet_read_failures",
                "Failures to read the fleet's database; only of usrlocd fleet",
            ),
            unreadable: book.counters(
                "fleet_rows_unreadable",
                "Rows that answers lack since a newer usrlocd wrote them; only of usrlocd fleet",
            ),
        }
    }

    pub(super) fn set(&self, figures: &FleetFigures) {
        for (state, count) in &figures.states {
            set(&self.states.get_or_create(&vec![("state", *state)]), *count);
        }
        for family in [&self.live, &self.rows, &self.silent] {
            family.clear();
        }
        for node in &figures.nodes {
            let labels = vec![("node", node.name.clone())];
            for (family, value) in [
                (&self.live, u64::from(node.is_live)),
                (&self.rows, node.rows),
                (&self.silent, node.silent),
            ] {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                family.get_or_create(&labels).set(value);
            }
        }
        let none = Labels::new();
        let reachable = self.reachable.get_or_create(&none);
        reachable.set(figures.is_reachable.into());
        let suspect = self.suspect.get_or_create(&none);
        suspect.set(figures.is_suspect.into());
        for (counter, now) in [
            (&self.failures, figures.failures),
            (&self.unreadable, figures.unreadable),
        ] {
            let counter = counter.get_or_create(&none);
            counter.inc_by(now.saturating_sub(counter.get()));
        }
    }
}

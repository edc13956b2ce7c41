//! What hooks are made with.

use std::sync::Arc;

use tokio::sync::watch;

use crate::accounts::directory::Directory;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::registration::item::Wire;

/// What all hooks share.
#[derive(Debug)]
pub struct Parts<S> {
    /// Where events come from.
    pub source: Arc<S>,
    /// The accounts below those that a hook names.
    pub directory: watch::Receiver<Arc<Directory>>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The name of this machine.
    pub node: String,
    /// How items are spelled.
    pub wire: Wire,
}

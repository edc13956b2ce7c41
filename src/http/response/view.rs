//! How registrations look to a caller at one moment.

use std::sync::Arc;

use crate::events::flap::Snapshot;
use crate::http::App;
use crate::registration::Registration;
use crate::registration::item::{Item, Wire};

/// How registrations look to a caller at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct View {
    pub(crate) wire: Wire,
    /// Unix seconds.
    pub(crate) now: i64,
    pub(crate) flaps: Arc<Snapshot>,
    /// Whether they are the fleet's.
    pub(crate) of_fleet: bool,
}

impl View {
    /// How they look now.
    pub(crate) fn now(app: &App) -> Self {
        Self {
            wire: app.settings.wire,
            now: app.clock.unix_seconds(),
            flaps: app.flaps.now(),
            of_fleet: false,
        }
    }

    /// How the fleet's look now. Who flaps is known to the nodes.
    pub(crate) fn of_fleet(app: &App) -> Self {
        Self {
            flaps: Arc::default(),
            of_fleet: true,
            ..Self::now(app)
        }
    }

    /// A registration as it is shown.
    pub(crate) fn item<'a>(&self, one: &'a Registration) -> Item<'a> {
        Item {
            registration: one,
            wire: self.wire,
            now: self.now,
            flap: self.flaps.of(one),
        }
    }
}

//! Sends what happened: after the rows that it is about, and never before those that wait.

use sqlx::postgres::PgConnection;

use super::super::Error;
use super::super::outbox::{Batch, Outbox};
use super::super::write::Changes;
use super::Publisher;

impl Publisher {
    /// Whether there may be events to send.
    pub(super) fn has_events(&self) -> bool {
        self.outbox.as_ref().is_some_and(Outbox::has_some)
    }

    /// Adds events to a transaction, unless rows wait for the next one.
    pub(super) async fn add_events(
        &mut self,
        connection: &mut PgConnection,
        changes: &mut Changes,
    ) -> Result<(), Error> {
        if let Some(outbox) = &mut self.outbox
            && self.slots.waiting() == 0
        {
            changes.events = outbox.next(connection, &self.node).await?;
        }
        Ok(())
    }

    /// These events are in the database.
    pub(super) fn sent(&mut self, batch: Option<&Batch>) {
        let Some(outbox) = &mut self.outbox else {
            return;
        };
        if let Some(batch) = batch {
            outbox.sent(batch);
            self.metrics.fleet.events_written(batch.len());
        }
        self.metrics.fleet.events_waiting(outbox.waiting());
    }

    /// Publishes which phones flap, and deletes events that are too old, a few at a time.
    pub(super) async fn tidy(&mut self, connection: &mut PgConnection) -> Result<(), Error> {
        if let Some(flapping) = &mut self.flapping {
            flapping.publish(connection, &self.node).await?;
        }
        match &mut self.outbox {
            Some(outbox) => outbox.prune(connection, &self.node).await,
            None => Ok(()),
        }
    }
}

/// Waits until there are events to send.
pub(super) async fn news(outbox: Option<&Outbox>) {
    match outbox {
        Some(outbox) => outbox.news().await,
        None => std::future::pending().await,
    }
}

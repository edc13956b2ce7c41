//! Keeping up with the schema.

use std::time::Duration;

use crate::sqlite_file::reason::Result;
use crate::sqlite_file::schema::Schema;
use crate::sqlite_file::source::Committed;

use super::epoch::{Epoch, Suspicion};
use super::windows::{Window, Windows};

/// Between two readings of the whole schema while commits come and nothing hints at a change of it, at least. A file
/// that was copied over the database may have the same cookie, and is not written to while that is done.
const REST: Duration = Duration::from_secs(1);

/// The schema that was read last.
#[derive(Debug, Default)]
pub(super) struct SchemaWatch {
    schema: Schema,
    /// Of which state, and when.
    of: Option<Committed>,
    at: Duration,
}

impl SchemaWatch {
    /// Reads the schema if it may have changed; the epoch that begins if it has.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read(&mut self, now: Duration, windows: &mut Windows) -> Result<Option<Epoch>> {
        if matches!(windows.state(), Some(Committed::File(_)))
            && self.of != windows.state()
            && now >= self.at + REST
        {
            windows.suspect(Suspicion::Schema);
        }
        if windows.epoch().is_some() && windows.suspicion() == Suspicion::None {
            return Ok(None);
        }
        let suspicion = windows.suspicion();
        let known = windows.epoch().filter(|_| suspicion < Suspicion::Schema);
        let read = |window: &mut Window<'_>| {
            let epoch = Epoch::read(window.pages)?;
            if Some(epoch) == known {
                return Ok((epoch, None));
            }
            Schema::read(window.pages).map(|schema| (epoch, Some(schema)))
        };
        let (epoch, schema) = windows.read_schema(now, read)?;
        windows.trust();
        let Some(schema) = schema else {
            return Ok(None);
        };
        (self.of, self.at) = (windows.state(), now);
        if windows.epoch() == Some(epoch) && self.schema == schema {
            return Ok(None);
        }
        self.schema = schema;
        Ok(Some(epoch))
    }

    /// The schema.
    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }
}

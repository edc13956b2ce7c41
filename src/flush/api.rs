//! What others know of the flush.

use std::pin::Pin;

use super::audit::{AuditLine, AuditQuery, NoAudit};
use super::{Error, Flusher, Outcome, Request};

/// Flushes registrations.
pub trait Flush: Send + Sync + 'static {
    /// Flushes what is asked for. `Err` where not even the failures are known.
    fn flush(&self, request: Request) -> Flushing<'_>;

    /// Reads the audit.
    fn audit(&self, query: AuditQuery) -> Auditing<'_>;
}

/// A flush under way.
pub type Flushing<'a> = Pin<Box<dyn Future<Output = Result<Outcome, Error>> + Send + 'a>>;

/// What [`Flush::audit`] reads.
pub type Auditing<'a> = Pin<Box<dyn Future<Output = Result<Vec<AuditLine>, NoAudit>> + Send + 'a>>;

impl Flush for Flusher {
    fn flush(&self, request: Request) -> Flushing<'_> {
        Box::pin(Flusher::flush(self, request))
    }

    fn audit(&self, query: AuditQuery) -> Auditing<'_> {
        Box::pin(self.read_audit(query))
    }
}

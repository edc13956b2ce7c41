//! What others know of the flush.

use std::pin::Pin;

use futures_util::{StreamExt, stream};

use super::audit::{AuditLine, AuditQuery, NoAudit};
use super::{Error, Flusher, Outcome, Request};

/// How many requests are carried out at once, where several are one.
const PARTS: usize = 8;

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

/// Flushes what several requests ask for, of each account one, as if they were one. What fails of one is known once all are
/// over.
///
/// # Errors
/// As of [`Flusher::flush`].
pub async fn flush_all(flush: &dyn Flush, requests: Vec<Request>) -> Result<Outcome, Error> {
    let parts = requests.into_iter().map(|request| flush.flush(request));
    let outcomes: Vec<_> = stream::iter(parts).buffered(PARTS).collect().await;
    let mut all = Outcome::default();
    for outcome in outcomes {
        let Outcome { flushed, failed } = outcome?;
        all.flushed += flushed;
        all.failed.extend(failed);
    }
    Ok(all)
}

impl Flush for Flusher {
    fn flush(&self, request: Request) -> Flushing<'_> {
        Box::pin(Flusher::flush(self, request))
    }

    fn audit(&self, query: AuditQuery) -> Auditing<'_> {
        Box::pin(self.read_audit(query))
    }
}

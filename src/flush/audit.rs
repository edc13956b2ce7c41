//! The audit: one record for each flush, in the store and in the log. It is written when the flush begins and completed
//! when it ends.

use super::{AUDIT, Actor, Flusher, Outcome};
use crate::consumers::store;
use crate::consumers::store::{FlushId, FlushRecord};

/// What of the audit is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditQuery {
    /// Only the flushes of these accounts; `None` for all.
    pub accounts: Option<Vec<String>>,
    /// Only records before the one with this number.
    pub before: Option<u64>,
    /// How many, the newest first.
    pub limit: usize,
}

/// A record of the audit, with its number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditLine {
    /// Later records have greater numbers.
    pub number: u64,
    /// What was flushed, and by whom.
    pub record: FlushRecord,
}

/// The audit cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the store cannot be read")]
pub struct NoAudit(#[source] pub store::Error);

/// A record of the audit that is yet to be completed.
#[derive(Debug)]
pub(super) struct OpenRecord {
    id: Option<FlushId>,
    record: FlushRecord,
}

impl Flusher {
    /// Begins a record. A flush goes ahead even if that fails.
    pub(super) async fn begin_audit(&self, actor: &Actor) -> OpenRecord {
        let record = FlushRecord {
            at: self.parts.clock.unix_seconds(),
            token: actor.token.clone(),
            client: actor.client.clone(),
            request_id: actor.request_id.clone(),
            account: actor.account_id.clone(),
            username: actor.username.clone(),
            filters: actor.filters.clone(),
            flushed: 0,
            failed: 0,
            ended: None,
        };
        let id = self.record(None, &record).await;
        OpenRecord { id, record }
    }

    /// Completes the record, and logs it.
    pub(super) async fn end_audit(&self, open: OpenRecord, outcome: &Outcome) {
        let record = FlushRecord {
            flushed: outcome.flushed,
            failed: outcome.failed.len() as u64,
            ended: Some(self.parts.clock.unix_seconds()),
            ..open.record
        };
        tracing::info!(
            target: AUDIT,
            token = record.token,
            client = record.client,
            request_id = record.request_id,
            account = record.account,
            username = record.username,
            filters = record.filters,
            flushed = record.flushed,
            failed = record.failed,
            "flushed registrations"
        );
        self.record(open.id, &record).await;
    }

    /// Reads the audit.
    pub(super) async fn read_audit(&self, query: AuditQuery) -> Result<Vec<AuditLine>, NoAudit> {
        let AuditQuery {
            accounts,
            before,
            limit,
        } = query;
        let read = self.parts.store.audit(accounts.as_deref(), before, limit);
        let lines = read.await.map_err(NoAudit)?.into_iter();
        Ok(lines
            .map(|(id, record)| AuditLine {
                number: id.number(),
                record,
            })
            .collect())
    }

    async fn record(&self, id: Option<FlushId>, record: &FlushRecord) -> Option<FlushId> {
        match self.parts.store.record_flush(id, record).await {
            Ok(id) => Some(id),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "cannot record a flush in the audit table");
                id
            }
        }
    }
}

//! The audit: one record for each flush and each NOTIFY, in the store and in the log. It is written before anything is
//! done, and completed at the end.

use std::sync::Arc;

use super::{AUDIT, Actor, Flusher};
use crate::clock::Clock;
use crate::consumers::store::{self, AuditId, AuditRecord, Store};

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
    pub record: AuditRecord,
}

/// The audit cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the store cannot be read")]
pub struct NoAudit(#[source] pub store::Error);

/// A record of the audit that is yet to be completed.
#[derive(Debug)]
pub struct OpenRecord {
    id: Option<AuditId>,
    record: AuditRecord,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
}

impl OpenRecord {
    /// Begins a record of what `actor` does: asking phones for `event`, or where that is `None`, a flush. It goes ahead
    /// even if that fails.
    pub async fn begin(
        (store, clock): (&Arc<Store>, &Arc<dyn Clock>),
        actor: &Actor,
        event: Option<String>,
    ) -> Self {
        let record = AuditRecord {
            at: clock.unix_seconds(),
            token: actor.token.clone(),
            client: actor.client.clone(),
            request_id: actor.request_id.clone(),
            account: actor.account_id.clone(),
            username: actor.username.clone(),
            filters: actor.filters.clone(),
            event,
            done: 0,
            failed: 0,
            ended: None,
        };
        let mut open = Self {
            id: None,
            record,
            store: Arc::clone(store),
            clock: Arc::clone(clock),
        };
        open.write().await;
        open
    }

    /// Completes the record, and logs it.
    pub async fn end(mut self, done: u64, failed: u64) {
        let record = &mut self.record;
        (record.done, record.failed) = (done, failed);
        record.ended = Some(self.clock.unix_seconds());
        if let Some(event) = &record.event {
            tracing::info!(
                target: AUDIT,
                token = record.token,
                client = record.client,
                request_id = record.request_id,
                account = record.account,
                username = record.username,
                filters = record.filters,
                event,
                notified = done,
                failed,
                "notified phones"
            );
        } else {
            tracing::info!(
                target: AUDIT,
                token = record.token,
                client = record.client,
                request_id = record.request_id,
                account = record.account,
                username = record.username,
                filters = record.filters,
                flushed = done,
                failed,
                "flushed registrations"
            );
        }
        self.write().await;
    }

    async fn write(&mut self) {
        match self.store.record(self.id, &self.record).await {
            Ok(id) => self.id = Some(id),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "cannot record a flush or a NOTIFY in the audit");
            }
        }
    }
}

impl Flusher {
    /// Reads the audit of flushes.
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
}

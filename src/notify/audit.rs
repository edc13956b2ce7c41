//! The audit: one record for each request, in the store and in the log. It is written before a phone is asked, and
//! completed when all have been.

use super::{Notifier, Outcome, Request};
use crate::consumers::store::{NotifyId, NotifyRecord};
use crate::flush::AUDIT;

/// A record of the audit that is yet to be completed.
#[derive(Debug)]
pub(super) struct OpenRecord {
    id: Option<NotifyId>,
    record: NotifyRecord,
}

impl Notifier {
    /// Begins a record. Phones are asked even if that fails.
    pub(super) async fn begin_audit(&self, request: &Request) -> OpenRecord {
        let actor = &request.actor;
        let record = NotifyRecord {
            at: self.parts.clock.unix_seconds(),
            token: actor.token.clone(),
            client: actor.client.clone(),
            request_id: actor.request_id.clone(),
            account: actor.account_id.clone(),
            username: actor.username.clone(),
            filters: actor.filters.clone(),
            event: request.event.to_string(),
            notified: 0,
            failed: 0,
            ended: None,
        };
        let id = self.record(None, &record).await;
        OpenRecord { id, record }
    }

    /// Completes the record, and logs it.
    pub(super) async fn end_audit(&self, open: OpenRecord, outcomes: &[Outcome]) {
        let notified = outcomes.iter().filter(|one| one.is_accepted()).count();
        let record = NotifyRecord {
            notified: notified as u64,
            failed: (outcomes.len() - notified) as u64,
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
            event = record.event,
            notified = record.notified,
            failed = record.failed,
            "notified phones"
        );
        self.record(open.id, &record).await;
    }

    async fn record(&self, id: Option<NotifyId>, record: &NotifyRecord) -> Option<NotifyId> {
        match self.parts.store.record_notify(id, record).await {
            Ok(id) => Some(id),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "cannot record a NOTIFY in the audit table");
                id
            }
        }
    }
}

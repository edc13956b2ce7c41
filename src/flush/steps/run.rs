//! One running flush: what it may do, and what it has learned about Kamailio, for all of its addresses of record.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::flush::Parts;
use crate::flush::answers::breaker::Breaker;
use crate::flush::answers::credibility::Credibility;
use crate::flush::authorization::Caller;
use crate::flush::failure::NotFlushed;
use crate::flush::steps::extra_calls::ExtraCalls;
use crate::flush::steps::intent::Intents;
use crate::flush::steps::removal::Removals;
use crate::kamailio::Fault;
use crate::registration::Registration;
use crate::registry::FlushedBy;

/// How often contacts that removed ones cover may be tried again in a flush: with Kazoo usrloc's timer runs every 5 s.
const RETRIES: usize = 12;

/// What is known of Kamailios that share a server's tables, before anything is removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::flush) enum Shared {
    /// Several have rows: these have more than one `server_id`.
    ByOthers,
    /// All rows are one Kamailio's, which need not be the one that is asked.
    Perhaps,
}

impl Shared {
    pub(in crate::flush) fn new(parts: &Parts) -> Self {
        let registry = &parts.registry;
        if parts.server_id.is_some() {
            return Self::Perhaps;
        }
        let one = registry.newest(1, |_| true).pop();
        let is_other = |other: &Registration| {
            one.as_ref()
                .is_some_and(|one| one.binding.server_id != other.binding.server_id)
        };
        if registry.newest(1, is_other).is_empty() {
            Self::Perhaps
        } else {
            Self::ByOthers
        }
    }
}

/// One running flush.
#[derive(Debug)]
pub(in crate::flush) struct Run<'a> {
    pub(in crate::flush) parts: &'a Parts,
    pub(in crate::flush) caller: Caller<'a>,
    /// Who flushes, as the registry's feed has it.
    pub(in crate::flush) by: Arc<FlushedBy>,
    /// Whether nothing may go but what was picked.
    pub(in crate::flush) exactly: bool,
    /// The realm of rows without a domain.
    pub(in crate::flush) default_realm: Option<&'a str>,
    /// What is known of other Kamailios, where some may have rows in the tables.
    pub(in crate::flush) shared: Option<Shared>,
    pub(in crate::flush) credibility: &'a Credibility<'a>,
    pub(in crate::flush) intents: Intents<'a>,
    pub(in crate::flush) removals: Removals<'a>,
    pub(in crate::flush) extra_calls: ExtraCalls<'a>,
    pub(in crate::flush) breaker: Breaker,
    pub(in crate::flush) retries: Retries,
}

/// How often contacts may still be tried again.
#[derive(Debug)]
pub(in crate::flush) struct Retries(AtomicUsize);

impl Run<'_> {
    /// Fails where Kamailio is not to be asked any more.
    pub(in crate::flush) fn check(&self) -> Result<(), NotFlushed> {
        match self.breaker.opened_by() {
            Some(kind) => Err(NotFlushed::GivenUp(kind)),
            None => self.caller.check(),
        }
    }

    /// Records how an address of record went.
    pub(in crate::flush) fn record<T>(&self, result: &Result<T, NotFlushed>) {
        let fault = match result {
            // Kamailio was not asked.
            Err(
                NotFlushed::NothingLeft
                | NotFlushed::GivenUp(_)
                | NotFlushed::Withdrawn
                | NotFlushed::Store(_),
            ) => return,
            Err(NotFlushed::Fault(fault)) => Some(fault),
            Err(
                NotFlushed::Locked
                | NotFlushed::Restarted
                | NotFlushed::Misread
                | NotFlushed::TooLong { .. },
            )
            | Ok(_) => None,
        };
        self.breaker.record(fault);
        if let Some(Fault::Rpc { code, message }) = fault {
            self.removals.refusals.note(*code, message);
        }
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self(AtomicUsize::new(RETRIES))
    }
}

impl Retries {
    /// Uses one up; `false` where none is left.
    pub(in crate::flush) fn take(&self) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        let order = Ordering::Relaxed;
        self.0.fetch_update(order, order, one_less).is_ok()
    }
}

//! One running flush: what it may do, and what it has learned about Kamailio, for all of its addresses of record.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Parts;
use super::authorization::Caller;
use super::breaker::Breaker;
use super::credibility::Credibility;
use super::extra_calls::ExtraCalls;
use super::failure::NotFlushed;
use super::intent::Intents;
use super::removal::Removals;
use crate::kamailio::Fault;

/// How often contacts that removed ones cover may be tried again in a flush: with Kazoo usrloc's timer runs every 5 s.
const RETRIES: usize = 12;

/// One running flush.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) parts: &'a Parts,
    pub(super) caller: Caller<'a>,
    /// Whether nothing may go but what was picked.
    pub(super) exactly: bool,
    /// The realm of rows without a domain.
    pub(super) default_realm: Option<&'a str>,
    pub(super) credibility: &'a Credibility<'a>,
    pub(super) intents: Intents<'a>,
    pub(super) removals: Removals<'a>,
    pub(super) extra_calls: ExtraCalls<'a>,
    pub(super) breaker: Breaker,
    pub(super) retries: Retries,
}

/// How often contacts may still be tried again.
#[derive(Debug)]
pub(super) struct Retries(AtomicUsize);

impl Run<'_> {
    /// Fails where Kamailio is not to be asked any more.
    pub(super) fn check(&self) -> Result<(), NotFlushed> {
        match self.breaker.opened_by() {
            Some(kind) => Err(NotFlushed::GivenUp(kind)),
            None => self.caller.check(),
        }
    }

    /// Records how an address of record went.
    pub(super) fn record<T>(&self, result: &Result<T, NotFlushed>) {
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
    pub(super) fn take(&self) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        let order = Ordering::Relaxed;
        self.0.fetch_update(order, order, one_less).is_ok()
    }
}

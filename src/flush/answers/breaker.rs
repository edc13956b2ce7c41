//! A circuit breaker: a Kamailio that has stopped answering is not asked about thousands of addresses of record, each
//! until its timeout.

use std::sync::{Mutex, PoisonError};

use crate::flush::FailureKind;
use crate::kamailio::Fault;

/// A single call that stays unanswered, such as one whose datagram was lost, says nothing about the next one.
const FEWEST: usize = 2;

/// Opens once Kamailio has not answered about so many addresses of record in a row.
#[derive(Debug)]
pub(in crate::flush) struct Breaker {
    threshold: usize,
    /// How many in a row, and how the last of them failed.
    failures: Mutex<(usize, FailureKind)>,
}

impl Breaker {
    /// Opens when as many fail in a row as are worked on at once.
    pub(in crate::flush) fn new(at_once: usize) -> Self {
        Self {
            threshold: at_once.max(FEWEST),
            failures: Mutex::new((0, FailureKind::Timeout)),
        }
    }

    /// Records how an address of record went.
    pub(in crate::flush) fn record(&self, fault: Option<&Fault>) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = match fault {
            Some(fault) if fault.is_timeout() => FailureKind::Timeout,
            Some(fault) if fault.is_unreachable() => FailureKind::Unreachable,
            Some(_) | None => {
                failures.0 = 0;
                return;
            }
        };
        *failures = (failures.0 + 1, kind);
    }

    /// How Kamailio failed to answer, once the breaker is open.
    pub(in crate::flush) fn opened_by(&self) -> Option<FailureKind> {
        let (times, kind) = *self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        (times >= self.threshold).then_some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_timeouts_in_a_row_only() {
        let breaker = Breaker::new(2);
        let refused = Fault::Rpc {
            code: 500,
            message: String::new(),
        };
        breaker.record(Some(&Fault::Timeout));
        breaker.record(Some(&refused));
        breaker.record(Some(&Fault::Timeout));
        breaker.record(None);
        breaker.record(Some(&Fault::Timeout));
        assert_eq!(breaker.opened_by(), None);
        let source = std::io::ErrorKind::ConnectionRefused.into();
        breaker.record(Some(&Fault::Unreachable { source }));
        assert_eq!(breaker.opened_by(), Some(FailureKind::Unreachable));
    }
}

//! When to stop asking: a Kamailio that does not answer is not asked about thousands of addresses of record, each
//! for the whole time-out.

use std::sync::{Mutex, PoisonError};

use super::FailureKind;
use crate::kamailio::Fault;

/// How often in a row Kamailio did not answer.
#[derive(Debug)]
pub(super) struct Silence {
    enough: usize,
    so_far: Mutex<(usize, FailureKind)>,
}

impl Silence {
    /// Gives up after `enough` addresses of record in a row.
    pub(super) fn new(enough: usize) -> Self {
        Self {
            enough,
            so_far: Mutex::new((0, FailureKind::Timeout)),
        }
    }

    /// Takes note of how an address of record went.
    pub(super) fn note(&self, fault: Option<&Fault>) {
        let mut so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = match fault {
            Some(fault) if fault.is_timeout() => FailureKind::Timeout,
            Some(fault) if fault.is_unreachable() => FailureKind::Unreachable,
            Some(_) | None => {
                so_far.0 = 0;
                return;
            }
        };
        *so_far = (so_far.0 + 1, kind);
    }

    /// The kind of silence, once it has lasted for long enough.
    pub(super) fn given_up(&self) -> Option<FailureKind> {
        let (times, kind) = *self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        (times >= self.enough).then_some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_up_after_silence_in_a_row_only() {
        let silence = Silence::new(2);
        let refused = Fault::Rpc {
            code: 500,
            message: String::new(),
        };
        silence.note(Some(&Fault::Timeout));
        silence.note(Some(&refused));
        silence.note(Some(&Fault::Timeout));
        silence.note(None);
        silence.note(Some(&Fault::Timeout));
        assert_eq!(silence.given_up(), None);
        let source = std::io::ErrorKind::ConnectionRefused.into();
        silence.note(Some(&Fault::Unreachable { source }));
        assert_eq!(silence.given_up(), Some(FailureKind::Unreachable));
    }
}

//! Phones that were asked to act, by what became of it.

use prometheus_client::metrics::counter::Counter;

use super::Book;

/// What became of asking a phone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notified {
    /// It answered 2xx.
    Accepted,
    /// It answered anything else.
    Refused,
    /// It did not answer.
    Silent,
    /// It was not asked.
    Failed,
}

/// What is counted of it.
#[derive(Debug)]
pub struct Notifies([Counter; 4]);

impl Notifies {
    pub(super) fn new(book: &mut Book<'_>) -> Self {
        let counts = book.counters(
            "notify",
            "Phones asked to act by outcome: accepted (2xx), refused, silent or failed (not sent)",
        );
        Self(
            ["accepted", "refused", "silent", "failed"]
                .map(|outcome| counts.get_or_create_owned(&vec![("outcome", outcome)])),
        )
    }

    /// A phone was asked.
    pub fn count(&self, outcome: Notified) {
        self.0[outcome as usize].inc();
    }
}

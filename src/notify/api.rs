//! What others know of notifying.

use std::pin::Pin;

use super::{Notifier, Outcome, Request};

/// Asks phones to act.
pub trait Notify: Send + Sync + 'static {
    /// Asks each phone; the outcomes are in the order of the registrations.
    fn notify(&self, request: Request) -> Notifying<'_>;
}

/// Phones that are being asked.
pub type Notifying<'a> = Pin<Box<dyn Future<Output = Vec<Outcome>> + Send + 'a>>;

impl Notify for Notifier {
    fn notify(&self, request: Request) -> Notifying<'_> {
        Box::pin(Notifier::notify(self, request))
    }
}

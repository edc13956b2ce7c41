//! What a phone may be asked to do.

use std::fmt;

pub use crate::config::CHECK_SYNC;

/// The value of the header `Event` (RFC 6665): one of those that the configuration allows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event(String);

impl Event {
    /// To fetch the configuration anew, and to restart or not.
    #[must_use]
    pub fn check_sync(reboot: bool) -> Self {
        Self(format!("{CHECK_SYNC};reboot={reboot}"))
    }

    /// One that the configuration names, with its parameters.
    #[must_use]
    pub fn configured(event: &str) -> Self {
        Self(event.to_owned())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

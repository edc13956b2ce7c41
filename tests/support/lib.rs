//! Support for the tests and the demo: a private Kamailio, phones that register at it, and a usrlocd beside it.
//!
//! Everything runs on loopback, on ports that nobody else uses, in a temporary directory of its own, and goes away
//! with the value that started it. Nothing here is skipped when a tool is missing: it fails and says what to install.

pub(crate) mod account;
pub(crate) mod daemon;
pub(crate) mod edge;
pub(crate) mod http;
pub(crate) mod kamailio;
pub(crate) mod phone;
pub(crate) mod ports;
pub(crate) mod process;
mod registrar_cfg;
pub(crate) mod relay;
pub(crate) mod server;
pub(crate) mod stream;
pub(crate) mod table;
pub(crate) mod tools;

use std::fmt::Display;
use std::thread;
use std::time::Duration;

use usrlocd::clock::{Clock, SystemClock};

/// How long [`eventually`] rests between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Looks until `look` is content, and returns what it found.
///
/// # Panics
///
/// With `what` and the last complaint, when `patience` is over.
#[track_caller]
pub(crate) fn eventually<T, E: Display>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<T, E>,
) -> T {
    let clock = SystemClock::new();
    loop {
        match look() {
            Ok(found) => return found,
            Err(complaint) if clock.monotonic() > patience => {
                panic!("{what}: not within {patience:?}: {complaint}")
            }
            Err(_) => thread::sleep(LOOK_AGAIN),
        }
    }
}

/// A condition for [`eventually`]: `Ok` when it holds, else the complaint.
pub(crate) fn holds(condition: bool, complaint: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(complaint()) }
}

/// Seconds since the Unix epoch.
pub(crate) fn unix_now() -> i64 {
    SystemClock::new().unix_seconds()
}

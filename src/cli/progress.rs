//! How far a flush is, on a terminal, where it takes longer than a moment.

use std::io::{self, IsTerminal, Write};
use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;

/// What is done sooner needs no progress.
const AFTER: Duration = Duration::from_secs(1);

/// From one look to the next.
const EVERY: Duration = Duration::from_millis(250);

/// Back to the beginning of the line, which is cleared.
const ANEW: &str = "\r\x1b[K";

/// Whether progress can be shown.
pub(super) fn is_shown() -> bool {
    io::stderr().is_terminal()
}

/// Waits for `flush`, which is to remove `total`. On a terminal it shows how many of them are gone, by how many
/// `left` says are listed still.
pub(super) async fn wait<T>(
    flush: impl Future<Output = T>,
    total: u64,
    left: impl AsyncFn() -> Option<u64>,
) -> T {
    let mut flush = pin!(flush);
    if !is_shown() {
        return flush.await;
    }
    let mut pause = AFTER;
    let mut is_drawn = false;
    loop {
        let look = async {
            sleep(pause).await;
            left().await
        };
        tokio::select! {
            done = &mut flush => {
                if is_drawn {
                    put(ANEW);
                }
                return done;
            }
            left = look => {
                if let Some(left) = left {
                    put(&format!("{ANEW}{}", line(total, left)));
                    is_drawn = true;
                }
                pause = EVERY;
            }
        }
    }
}

/// Phones that register meanwhile are listed, too: there may be more than there were.
fn line(total: u64, left: u64) -> String {
    format!("flushing: {} of {total}", total.saturating_sub(left))
}

/// A terminal that is gone takes nothing, and its end ends us by SIGHUP.
fn put(text: &str) {
    let mut err = io::stderr();
    let written = err.write_all(text.as_bytes());
    written.and_then(|()| err.flush()).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_were_is_no_progress() {
        assert_eq!(line(200, 80), "flushing: 120 of 200");
        assert_eq!(line(200, 201), "flushing: 0 of 200");
    }
}

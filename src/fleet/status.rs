//! How publishing goes, for those who ask this node.

use std::time::Duration;

use super::Error;

/// So far apart clocks may be, in milliseconds: times of registrations are compared across nodes.
pub const CLOCKS_APART_MS: i64 = 2000;

/// How publishing goes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Status {
    /// It has not begun.
    #[default]
    Starting,
    /// The database is being compared with the lists.
    Comparing,
    /// The database has what is listed.
    Publishing {
        /// The epoch of this process.
        epoch: i64,
        /// The number of the registry's entry up to which it has it.
        through: u64,
        /// By how many milliseconds our clock is ahead of its; negative where it is behind.
        clock_offset_ms: i64,
    },
    /// It does not work now.
    Failing {
        /// Why.
        error: Error,
        /// Since when, since the Unix epoch.
        since: Duration,
    },
}

impl Status {
    /// In a word, for answers.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Comparing => "comparing",
            Self::Publishing { .. } => "publishing",
            Self::Failing { .. } => "failing",
        }
    }

    /// What is wrong and what to do; `None` where nothing is.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Starting | Self::Comparing => None,
            Self::Publishing {
                clock_offset_ms, ..
            } => clocks_apart(*clock_offset_ms),
            Self::Failing { error, .. } => Some(format!("not publishing to the fleet: {error}")),
        }
    }
}

/// The complaint about clocks that are too far apart.
#[must_use]
fn clocks_apart(offset_ms: i64) -> Option<String> {
    let apart = offset_ms.abs();
    (apart > CLOCKS_APART_MS).then(|| {
        format!("this node's clock and that of the fleet's database are {apart} ms apart; synchronize both")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_what_to_do() {
        let publishing = |clock_offset_ms| Status::Publishing {
            epoch: 1,
            through: 1,
            clock_offset_ms,
        };
        assert_eq!(publishing(-2000).reason(), None);
        assert!(
            publishing(-2001)
                .reason()
                .is_some_and(|it| it.contains("2001 ms"))
        );
        let fenced = Status::Failing {
            error: Error::Fenced,
            since: Duration::ZERO,
        };
        assert_eq!(fenced.as_str(), "failing");
        assert!(fenced.reason().is_some_and(|it| it.contains("fleet-id")));
    }
}

//! The differences between two configurations, and which of them a running daemon can apply.

use std::fmt;

use super::Config;
use super::show::told;

/// Keys (or whole sections, with a trailing dot) that a running daemon applies.
const LIVE: [&str; 5] = ["auth.", "directory.", "limits.", "log.level", "webhook"];

/// A key whose value differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Its dotted name.
    pub key: &'static str,
    /// The value before, as TOML.
    pub old: String,
    /// The value after.
    pub new: String,
    /// When the new value takes effect.
    pub applies: Applies,
}

/// When a changed key takes effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Applies {
    /// On reload.
    Now,
    /// At the next start.
    AfterRestart,
}

impl Config {
    /// The keys that differ in `new`.
    #[must_use]
    pub fn changes(&self, new: &Self) -> Vec<Change> {
        let pairs = self.entries().into_iter().zip(new.entries());
        pairs
            .filter(|((_, old), (_, new))| old != new)
            .map(|((key, old), (_, new))| Change {
                key,
                old: told(&old).to_string(),
                new: told(&new).to_string(),
                applies: applies(key),
            })
            .collect()
    }
}

fn applies(key: &str) -> Applies {
    let live = |live: &str| match live.strip_suffix('.') {
        Some(_) => key.starts_with(live),
        None => key == live,
    };
    if LIVE.iter().any(|pattern| live(pattern)) {
        Applies::Now
    } else {
        Applies::AfterRestart
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, old, new, .. } = self;
        write!(f, "{key} {old} -> {new}")?;
        match self.applies {
            Applies::Now => Ok(()),
            Applies::AfterRestart => f.write_str(" (needs a restart)"),
        }
    }
}

//! How grave a line is: tracing's levels, and `notice` for the audit and what an operator should see.

use tracing::{Level, Metadata};

use crate::flush::{AUDIT, NOTICE};

/// How grave a line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Severity {
    Error,
    Warn,
    Notice,
    Info,
    Debug,
    Trace,
}

impl Severity {
    pub(super) fn of(metadata: &Metadata<'_>) -> Self {
        match *metadata.level() {
            Level::ERROR => Self::Error,
            Level::WARN => Self::Warn,
            Level::INFO if matches!(metadata.target(), AUDIT | NOTICE) => Self::Notice,
            Level::INFO => Self::Info,
            Level::DEBUG => Self::Debug,
            Level::TRACE => Self::Trace,
        }
    }

    /// Its name in a line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Notice => "NOTICE",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
        }
    }

    /// Its priority in the journal, that of syslog(3).
    pub(super) fn priority(self) -> &'static str {
        match self {
            Self::Error => "3",
            Self::Warn => "4",
            Self::Notice => "5",
            Self::Info => "6",
            Self::Debug | Self::Trace => "7",
        }
    }

    /// Its colour on a terminal (ECMA-48, "select graphic rendition").
    pub(super) fn colour(self) -> &'static str {
        match self {
            Self::Error => "31",
            Self::Warn => "33",
            Self::Notice => "1;32",
            Self::Info => "32",
            Self::Debug => "34",
            Self::Trace => "35",
        }
    }
}

//! Logging: where lines go, how they look, and a level that can change while the program runs.
//!
//! Lines go to standard error, or with their fields to systemd's journal. The audit of flushes stands one level above
//! information, at `notice`. A panic is an error line like any other.

mod fields;
mod format;
mod journal;
mod severity;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::panic;

use thiserror::Error;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{Log, LogFormat};
use journal::Journal;

/// Changes the level of the running program.
#[derive(Clone, Debug)]
pub struct Handle {
    filter: reload::Handle<Targets, Registry>,
}

/// Why logging cannot be set up or changed.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// The level is none.
    #[error("read the log level")]
    Level(#[source] ParseError),
    /// The journal was asked for and is not there.
    #[error("open systemd's journal")]
    Journal(#[source] io::Error),
    /// Logging was set up before.
    #[error("set up logging")]
    Twice(#[source] TryInitError),
    /// The running filter is gone.
    #[error("change the log level")]
    Gone(#[source] reload::Error),
}

/// Sets up the log of this process, and has panics logged.
///
/// # Errors
/// When the journal is asked for and not there, or logging was set up before.
pub fn init(log: &Log) -> Result<Handle, LoggingError> {
    let (filter, handle) = reload::Layer::new(targets(&log.level)?);
    let (layer, warning) = output(log.format)?;
    tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .try_init()
        .map_err(LoggingError::Twice)?;
    panic::set_hook(Box::new(log_panic));
    if let Some(error) = warning {
        tracing::warn!(%error, "the journal is not available; logging text instead");
    }
    Ok(Handle { filter: handle })
}

impl Handle {
    /// Logs at `level` from now on; written as `[log] level`.
    ///
    /// # Errors
    /// If it is not a level.
    pub fn set_level(&self, level: &str) -> Result<(), LoggingError> {
        let targets = targets(level)?;
        self.filter.reload(targets).map_err(LoggingError::Gone)
    }
}

type Output = Box<dyn Layer<Layered> + Send + Sync>;
type Layered = tracing_subscriber::layer::Layered<reload::Layer<Targets, Registry>, Registry>;

/// The layer that writes, and why it is not the journal where that was tried.
fn output(format: LogFormat) -> Result<(Output, Option<io::Error>), LoggingError> {
    let journal = || Journal::open(journal::SOCKET.as_ref()).map(Layer::boxed);
    match format {
        LogFormat::Journald => Ok((journal().map_err(LoggingError::Journal)?, None)),
        LogFormat::Auto if under_journald() => Ok(match journal() {
            Ok(layer) => (layer, None),
            Err(error) => (text(), Some(error)),
        }),
        LogFormat::Auto | LogFormat::Text => Ok((text(), None)),
        LogFormat::Json => {
            let layer = fmt::layer().with_writer(io::stderr).with_ansi(false);
            Ok((layer.event_format(format::Json).boxed(), None))
        }
    }
}

fn text() -> Output {
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colours = io::stderr().is_terminal() && !no_color;
    let layer = fmt::layer().with_writer(io::stderr).with_ansi(colours);
    layer.event_format(format::Text).boxed()
}

fn targets(level: &str) -> Result<Targets, LoggingError> {
    level.parse().map_err(LoggingError::Level)
}

/// Whether standard error is the journal's stream (systemd.exec(5), `JOURNAL_STREAM`).
fn under_journald() -> bool {
    let stream = env::var("JOURNAL_STREAM").ok();
    let stderr = rustix::fs::fstat(io::stderr()).ok();
    match (stream, stderr) {
        (Some(stream), Some(stat)) => stream == format!("{}:{}", stat.st_dev, stat.st_ino),
        _ => false,
    }
}

/// The text for standard error. Under systemd each line has the priority of an error in front (sd-daemon(3)), so that
/// `journalctl -p err` shows it: otherwise it would count as information.
#[must_use]
pub fn as_error(text: impl Display) -> String {
    if under_journald() {
        marked(&text.to_string())
    } else {
        text.to_string()
    }
}

fn marked(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("<3>{line}")).collect();
    lines.join("\n")
}

fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("no message");
    let location = info.location().map(ToString::to_string);
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(location, backtrace, "internal error: {message}");
}

#[cfg(test)]
mod tests;

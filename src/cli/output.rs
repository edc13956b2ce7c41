//! Writes results and complaints.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};

use anyhow::Context;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use crate::daemon::Failure;
use crate::logging;

/// Writes `text` to standard output; a reader that has gone away has seen enough.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    print_more(text.as_bytes()).map(drop)
}

/// The values, each with the end of its line.
pub(super) fn lines(values: &[impl Display]) -> String {
    let mut text = String::new();
    for value in values {
        text.push_str(&value.to_string());
        text.push('\n');
    }
    text
}

/// Writes a piece of a longer text; whether its reader wants more.
pub(super) fn print_more(text: &[u8]) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error)
            .context("write to standard output")
            .map_err(Failure::Io),
    }
}

/// Whether standard output is a terminal that may be given colours (<https://no-color.org>: set and not empty).
pub(super) fn is_coloured() -> bool {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !no_colour
}

/// The text without what could steer a terminal.
pub(super) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Writes a hint to standard error; nobody to read it is no failure.
pub(super) fn hint(text: impl Display) {
    writeln!(io::stderr(), "{text}").ok();
}

/// Writes why nothing came of it. Mistakes in files stand alone, so that editors find their places.
pub(super) fn complain(failure: &Failure) {
    match failure {
        Failure::Config(problems) => hint(logging::as_error(problems)),
        failure => hint(logging::as_error(format_args!("usrlocd: {failure}"))),
    }
}

/// A Unix time on the operator's clock, by a format of `strftime`.
pub(super) fn local_time(at: Timestamp, format: &str) -> String {
    ZonedDateTime::new(at, TimeZone::system())
        .strftime(format)
        .to_string()
}

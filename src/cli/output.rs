//! Writes results and complaints.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};

use anyhow::Context;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use crate::daemon::Failure;
use crate::logging;
use crate::terminal::{printable_json, printable_lines};

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

/// Writes JSON; on a terminal with escapes of JSON's own for what a person would not see, so that it is the same JSON.
pub(super) fn print_json(json: &str) -> Result<(), Failure> {
    print_more_json(json).map(drop)
}

/// Writes a piece of JSON that ends between two characters; whether its reader wants more.
pub(super) fn print_more_json(json: &str) -> Result<bool, Failure> {
    if io::stdout().is_terminal() {
        print_more(printable_json(json).as_bytes())
    } else {
        print_more(json.as_bytes())
    }
}

/// Writes whole lines of CSV. A file gets them as they are; on a terminal nothing in them may steer it.
pub(super) fn print_csv(csv: &str) -> Result<(), Failure> {
    let mut lines = CsvLines::default();
    lines.print(csv.as_bytes())?;
    lines.finish().map(drop)
}

/// CSV that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct CsvLines {
    /// A line whose end is still to come.
    begun: Vec<u8>,
}

impl CsvLines {
    /// Writes a piece; whether its reader wants more.
    pub(super) fn print(&mut self, piece: &[u8]) -> Result<bool, Failure> {
        if !io::stdout().is_terminal() {
            return print_more(piece);
        }
        self.begun.extend_from_slice(piece);
        let end = self.begun.iter().rposition(|byte| *byte == b'\n');
        let whole = self.begun.drain(..end.map_or(0, |end| end + 1));
        let whole = shown_csv(&whole.collect::<Vec<_>>());
        print_more(whole.as_bytes())
    }

    /// Writes what is left.
    pub(super) fn finish(self) -> Result<bool, Failure> {
        print_more(shown_csv(&self.begun).as_bytes())
    }
}

/// Lines of CSV as a terminal shows them.
fn shown_csv(lines: &[u8]) -> String {
    let text = String::from_utf8_lossy(lines).replace("\r\n", "\n");
    printable_lines(&text).into_owned()
}

/// Writes a hint, of one line or more, to standard error; a missing reader is not a failure.
pub(super) fn hint(text: impl Display) {
    writeln!(io::stderr(), "{}", printable_lines(&text.to_string())).ok();
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

//! Lines on standard error: text for people, or JSON for programs.

use std::fmt;

use serde_json::Value;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use super::severity::Severity;
use crate::terminal::printable_lines;

/// Time, severity, target, sentence, and the fields behind it.
pub(super) struct Text;

/// An object with the same.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let severity = Severity::of(event.metadata());
        let (name, target) = (severity.name(), event.metadata().target());
        SystemTime.format_time(&mut writer)?;
        if writer.has_ansi_escapes() {
            let colour = severity.colour();
            write!(
                writer,
                " \x1b[{colour}m{name:>6}\x1b[0m \x1b[2m{target}:\x1b[0m "
            )?;
        } else {
            write!(writer, " {name:>6} {target}: ")?;
        }
        // Phones choose much of what stands here: nothing of it may steer the terminal that it is read on, nor look
        // like a line of its own.
        let mut line = String::new();
        context.format_fields(Writer::new(&mut line), event)?;
        writeln!(writer, "{}", printable_lines(&line).replace('\n', "\n    "))
    }
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let severity = Severity::of(event.metadata()).name();
        let fields = Fields::of(event);
        let head = [
            ("level", severity.into()),
            ("target", event.metadata().target().into()),
            ("message", fields.message.into()),
        ];
        write!(writer, "{{\"timestamp\":{}", Value::from(timestamp))?;
        for (name, value) in head.into_iter().chain(fields.others) {
            write!(writer, ",{}:{value}", Value::from(name))?;
        }
        writer.write_str("}\n")
    }
}

//! `OpenMetrics` turned into Prometheus' older text format, which every scraper reads.

use std::fmt::Write;

/// The same samples in the text format 0.0.4: there the description of a counter bears its whole name, and there
/// are neither units nor an end.
pub(super) fn prometheus(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, text)) = help.take() {
                // Writing to a string does not fail.
                let _ = writeln!(out, "# HELP {name}{suffix} {text}");
            }
            let _ = writeln!(out, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            // A family without labels is written with empty braces, which this format need not have.
            let bare = line
                .split_once("{} ")
                .filter(|(name, _)| !name.contains('{'));
            let _ = match bare {
                Some((name, value)) => writeln!(out, "{name} {value}"),
                None => writeln!(out, "{line}"),
            };
        }
    }
    out
}

//! Formats rows: as a table for people, as JSON for programs.

use std::io::{self, IsTerminal};

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use serde_json::Value;
use tabled::builder::Builder;
use tabled::settings::peaker::Priority;
use tabled::settings::{Padding, Style, Width};

use super::output::is_coloured;
use crate::daemon::Failure;
use crate::document::nearest;
use crate::terminal::printable;

/// How results are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Format {
    /// Some columns, truncated to the terminal's width
    Table,
    /// More columns, never truncated
    Wide,
    /// One array
    Json,
    /// One JSON object per line
    Ndjson,
    /// A header row and all keys, as in the API
    Csv,
}

/// How results are to be written.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct Output {
    /// The format [default: table on a terminal or with the options below, otherwise ndjson]
    #[arg(short = 'o', long = "output", value_name = "FORMAT")]
    format: Option<Format>,

    /// Omit the header row of the table
    #[arg(long)]
    no_headers: bool,

    /// The columns of the table, separated by commas; any key of the API's items
    #[arg(long, value_name = "KEYS", value_delimiter = ',')]
    columns: Vec<String>,

    /// Sort by this key; -KEY for reverse order
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    sort: Option<String>,
}

impl Format {
    /// Whether it is a table.
    pub(super) fn is_tabular(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}

impl Output {
    /// The key to sort by, for the daemon to do it: the rows then come in that order.
    pub(super) fn take_sort(&mut self) -> Option<String> {
        self.sort.take()
    }

    /// The format that is meant, where the rows are sorted here.
    pub(super) fn format(&self) -> Result<Format, Failure> {
        self.format_with(self.sort.is_some())
    }

    /// The format that is meant for a list, which the daemon sorts in every format.
    pub(super) fn format_of_list(&self) -> Result<Format, Failure> {
        self.format_with(self.sort.is_some() && self.format.is_none())
    }

    fn format_with(&self, sorts_table: bool) -> Result<Format, Failure> {
        let tabular = self.no_headers || !self.columns.is_empty() || sorts_table;
        match self.format {
            Some(format @ (Format::Table | Format::Wide)) => Ok(format),
            Some(_) if tabular => Err(Failure::Usage(anyhow!(
                "--columns, --no-headers and, except for list and show, --sort only work with -o table and -o wide; remove them"
            ))),
            Some(format) => Ok(format),
            None if tabular || io::stdout().is_terminal() => Ok(Format::Table),
            None => Ok(Format::Ndjson),
        }
    }

    /// Refuses keys that none of `known` is.
    pub(super) fn check(&self, known: &[&str]) -> Result<(), Failure> {
        let sort = self.sort.as_deref().map(|key| key.trim_start_matches('-'));
        let asked = self.columns.iter().map(String::as_str).chain(sort);
        for key in asked {
            if !known.contains(&key) {
                let begins = |known: &&str| known.starts_with(key);
                let near = nearest(key, known.iter().copied())
                    .or_else(|| known.iter().copied().find(begins))
                    .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                return Err(Failure::Usage(anyhow!(
                    "unknown key `{key}`{near} (known keys: {})",
                    known.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// `rows` as a table of `columns`, or of those that were asked for.
    pub(super) fn table(&self, mut rows: Vec<Value>, columns: &[&str], format: Format) -> String {
        if let Some(sort) = &self.sort {
            let key = sort.trim_start_matches('-');
            rows.sort_by(|a, b| compare(&a[key], &b[key]));
            if sort.starts_with('-') {
                rows.reverse();
            }
        }
        let own: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        let columns = if own.is_empty() { columns } else { &own };
        let terminal = io::stdout().is_terminal();
        let width = terminal_size::terminal_size()
            .map(|(width, _)| usize::from(width.0))
            .filter(|_| terminal && format == Format::Table);
        let text = render(&rows, columns, !self.no_headers, width);
        match text.split_once('\n') {
            Some((head, rest)) if is_coloured() && !self.no_headers => {
                format!("\x1b[1m{head}\x1b[0m\n{rest}")
            }
            _ => text,
        }
    }
}

/// Numbers by their value, texts by their letters.
fn compare(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => cell(a).cmp(&cell(b)),
    }
}

/// A value in one line. Phones choose much of what stands here: nothing of it may steer the terminal.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text).into_owned(),
        other => printable(&other.to_string()).into_owned(),
    }
}

fn render(rows: &[Value], columns: &[&str], headers: bool, width: Option<usize>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head = headers.then(|| columns.iter().map(|name| name.to_uppercase()).collect());
    let rows = rows
        .iter()
        .map(|row| columns.iter().map(|column| cell(&row[*column])).collect());
    aligned(
        head.into_iter().chain(rows).collect::<Vec<Vec<String>>>(),
        width,
    )
}

/// Records in aligned columns, cut to `width` where that is given.
pub(super) fn aligned<R: IntoIterator<Item = String>>(
    records: impl IntoIterator<Item = R>,
    width: Option<usize>,
) -> String {
    let mut builder = Builder::new();
    for record in records {
        builder.push_record(record);
    }
    let mut table = builder.build();
    table.with(Style::empty()).with(Padding::new(0, 2, 0, 0));
    if let Some(width) = width {
        table.with(
            Width::truncate(width)
                .suffix("…")
                .priority(Priority::max(true)),
        );
    }
    let text = table.to_string();
    let lines = text.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_is_aligned_cut_and_harmless() {
        let rows = [
            json!({"username": "alice", "user_agent": "Snom\u{1b}[2J\u{202e}"}),
            json!({"username": "日本", "user_agent": "a very long name of a phone"}),
        ];
        let columns = ["username", "user_agent", "q"];
        let text = render(&rows, &columns, true, None);
        assert_eq!(
            text,
            "USERNAME  USER_AGENT                   Q\n\
             alice     Snom\\u{1b}[2J\\u{202e}        -\n\
             日本      a very long name of a phone  -\n"
        );
        let cut = render(&rows, &columns, true, Some(30));
        assert_eq!(cut.lines().count(), 3, "{cut}");
        assert!(cut.contains('…'), "{cut}");
        assert!(cut.lines().all(|line| line.chars().count() <= 30), "{cut}");
    }
}

//! What the doctor found, and how it is printed.

use std::fmt::Write;

use serde_json::json;

use super::super::output::is_coloured;
use crate::http::{self, Health};
use crate::terminal::{printable, printable_lines};

/// Columns of a terminal that prose fits; commands stay whole, to be copied.
const WIDTH: usize = 80;

/// Where the text of a finding begins.
const INDENT: &str = "        ";

/// What a finding is about; printed in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Group {
    Configuration,
    Database,
    Tables,
    Kamailio,
    Clock,
    Usrlocd,
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    Ok,
    /// Worth knowing, and no reason to do anything.
    Note,
    Warn,
    Fail,
}

#[derive(Debug)]
struct Finding {
    group: Group,
    check: &'static str,
    mark: Mark,
    message: String,
    remedy: Vec<String>,
}

/// All findings so far.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Group {
    const ALL: [Self; 6] = [
        Self::Configuration,
        Self::Database,
        Self::Tables,
        Self::Kamailio,
        Self::Clock,
        Self::Usrlocd,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Database => "database",
            Self::Tables => "tables",
            Self::Kamailio => "kamailio",
            Self::Clock => "clock",
            Self::Usrlocd => "usrlocd",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Configuration => "Configuration",
            Self::Database => "Kamailio's database",
            Self::Tables => "Its tables",
            Self::Kamailio => "Kamailio",
            Self::Clock => "Clocks",
            Self::Usrlocd => "usrlocd itself",
        }
    }
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Ok => "32",
            Self::Note => "36",
            Self::Warn => "33",
            Self::Fail => "31",
        }
    }
}

impl Findings {
    pub(super) fn ok(&mut self, group: Group, check: &'static str, message: impl Into<String>) {
        self.add(Mark::Ok, group, check, message, []);
    }

    /// What changes nothing about the exit status.
    pub(super) fn note(&mut self, group: Group, check: &'static str, message: impl Into<String>) {
        self.add(Mark::Note, group, check, message, []);
    }

    pub(super) fn warn(
        &mut self,
        group: Group,
        check: &'static str,
        message: impl Into<String>,
        remedy: impl IntoIterator<Item = String>,
    ) {
        self.add(Mark::Warn, group, check, message, remedy);
    }

    pub(super) fn fail(
        &mut self,
        group: Group,
        check: &'static str,
        message: impl Into<String>,
        remedy: impl IntoIterator<Item = String>,
    ) {
        self.add(Mark::Fail, group, check, message, remedy);
    }

    fn add(
        &mut self,
        mark: Mark,
        group: Group,
        check: &'static str,
        message: impl Into<String>,
        remedy: impl IntoIterator<Item = String>,
    ) {
        self.0.push(Finding {
            group,
            check,
            mark,
            message: message.into(),
            remedy: remedy.into_iter().collect(),
        });
    }

    /// Errors and warnings.
    pub(super) fn counts(&self) -> (usize, usize) {
        let count = |mark| self.0.iter().filter(|finding| finding.mark == mark).count();
        (count(Mark::Fail), count(Mark::Warn))
    }

    /// For the page.
    pub(super) fn for_page(self) -> Vec<http::Finding> {
        let shown = self.0.into_iter().map(|finding| http::Finding {
            name: finding.check.to_owned(),
            state: match finding.mark {
                Mark::Ok | Mark::Note => Health::Ok,
                Mark::Warn => Health::Warning,
                Mark::Fail => Health::Error,
            },
            text: finding.message,
            advice: finding.remedy,
        });
        shown.collect()
    }

    /// Text for people.
    pub(super) fn text(&self, judged_for: &str) -> String {
        let colour = is_coloured();
        let mut out = format!("Checked for the user {judged_for}.\n");
        for group in Group::ALL {
            let mut of_group = self.0.iter().filter(|finding| finding.group == group);
            let Some(first) = of_group.next() else {
                continue;
            };
            writeln!(out, "\n{}", group.title()).expect("a String takes all");
            for finding in std::iter::once(first).chain(of_group) {
                finding.write(&mut out, colour);
            }
        }
        out
    }

    /// For scripts.
    pub(super) fn json(&self, judged_for: &str) -> String {
        let findings = self.0.iter().map(|finding| {
            json!({
                "group": finding.group.name(),
                "check": finding.check,
                "mark": finding.mark.word(),
                "message": finding.message,
                "mend": finding.remedy,
            })
        });
        let (errors, warnings) = self.counts();
        let report = json!({
            "judged_for": judged_for,
            "errors": errors,
            "warnings": warnings,
            "findings": findings.collect::<Vec<_>>(),
        });
        format!("{report:#}\n")
    }
}

impl Finding {
    fn write(&self, out: &mut String, colour: bool) {
        let word = format!("{:<4}", self.mark.word());
        let word = if colour {
            format!("\x1b[{}m{word}\x1b[0m", self.mark.colour())
        } else {
            word
        };
        let lines = wrap(&printable_lines(&self.message), WIDTH - INDENT.len());
        for (index, line) in lines.iter().enumerate() {
            let result = if index == 0 {
                writeln!(out, "  {word}  {line}")
            } else {
                writeln!(out, "{INDENT}{line}")
            };
            result.expect("a String takes all");
        }
        for line in self.remedy.iter().flat_map(|remedy| remedy.lines()) {
            let line = printable(line);
            writeln!(out, "{INDENT}    {line}").expect("a String takes all");
        }
    }
}

/// Breaks `text` at spaces into lines of at most `width` characters; a longer word stands alone.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_fits_and_commands_stay_whole() {
        let mut findings = Findings::default();
        let command = "x".repeat(90);
        findings.warn(Group::Tables, "t", "word ".repeat(60), [command.clone()]);
        findings.ok(Group::Database, "d", "Well.");
        let text = findings.text("nobody");
        for line in text.lines().filter(|line| !line.contains(&command)) {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert!(text.contains(&command));
        let (database, tables) = (text.find("database"), text.find("Its tables"));
        assert!(database.unwrap() < tables.unwrap(), "{text}");
        assert_eq!(findings.counts(), (0, 1));
    }
}

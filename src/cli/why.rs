//! `usrlocd why`: why a phone was away.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::history::data;
use super::moment::{Moment, moment};
use super::output::{print, print_json};
use super::person::Person;
use super::remote::{self, Remote};
use super::show_rows::cell;
use crate::daemon::Failure;

/// Explain why a phone was away
///
/// Prints the reason in one sentence, the facts behind it, and how many other phones were lost at the same time.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd why alice@acme.example.com
      why it was lost most recently
  usrlocd why alice@acme.example.com --at 2026-11-30T03:00:00Z
  usrlocd why alice --account acme.example.com --at 2h -o json

Exit status:
  0 success, 1 no such account or user, 64 usage, 69 no daemon or no history, 77 permission

Environment:
  USRLOCD_URL, USRLOCD_TOKEN_FILE as --url and --token-file")]
pub(super) struct Why {
    /// The user, alone or as USER@REALM
    #[arg(value_parser = remote::user)]
    user: String,
    /// Only in this account: its id, or a realm or name that only one account has
    #[arg(short, long, value_parser = remote::account)]
    account: Option<String>,
    /// When it was away: an RFC 3339 time, or how long ago (2h) [default: its last loss]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Moment>,
    /// The format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    remote: Remote,
}

/// How the answer is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// Sentences
    Text,
    /// The API's object
    Json,
}

impl Why {
    pub(super) fn run(self) -> Result<(), Failure> {
        let client = self.remote.client()?;
        remote::run(async {
            let person = Person::find(&client, &self.user, self.account.as_deref(), "why").await?;
            let mut path = person.path("why");
            if let Some(at) = &self.at {
                let query = form_urlencoded::Serializer::new(String::new())
                    .append_pair("at", &at.text())
                    .finish();
                let _ = write!(path, "?{query}");
            }
            let answer = data(&client, &path).await?;
            match self.output {
                Format::Json => print_json(&format!("{answer:#}\n")),
                Format::Text => print(&told(&answer)),
            }
        })
    }
}

fn told(answer: &Value) -> String {
    let mut text = format!("{}\n", cell(&answer["sentence"]));
    for fact in answer["facts"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "  {}", cell(fact));
    }
    for (by, others) in answer["others"].as_object().into_iter().flatten() {
        let lost = others["lost"].as_u64().unwrap_or(0);
        let by = match &**by {
            "source" => "in its network",
            "user_agent" => "with its user agent",
            "proxy" => "at its proxy",
            _ => "of its account",
        };
        let (phones, were) = if lost == 1 {
            ("phone", "was")
        } else {
            ("phones", "were")
        };
        let value = cell(&others["value"]);
        let _ = writeln!(
            text,
            "  Within a minute, {lost} other {phones} {by} ({value}) {were} lost."
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_told_in_sentences() {
        let answer = json!({
            "sentence": "Flushed by ops at T.", "facts": ["One.", "Two\u{1b}."],
            "others": {"source": {"value": "198.51.100.0/24", "lost": 1}, "account": {"value": "acme", "lost": 3}},
        });
        assert_eq!(
            told(&answer),
            "Flushed by ops at T.\n  One.\n  Two\\u{1b}.\n  \
             Within a minute, 3 other phones of its account (acme) were lost.\n  \
             Within a minute, 1 other phone in its network (198.51.100.0/24) was lost.\n"
        );
    }
}

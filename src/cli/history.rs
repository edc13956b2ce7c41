//! `usrlocd history`: what happened to registrations; and `history forget`, which deletes what is kept of a user.

use anyhow::anyhow;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::account;
use super::moment::{Moment, moment};
use super::output::{CsvLines, hint, lines, print, print_json, print_more_json};
use super::person::Person;
use super::refusals::{lost, stranger};
use super::remote::{self, Remote};
use super::show_rows::{Format, Output};
use crate::client::Client;
use crate::daemon::Failure;

/// How many events are asked for at a time.
const PAGE: usize = 1000;

const TABLE: &[&str] = &[
    "at",
    "type",
    "reason",
    "username",
    "source_ip",
    "user_agent",
];
const WIDE: &[&str] = &[
    "at",
    "node",
    "type",
    "reason",
    "username",
    "realm",
    "source_ip",
    "source_port",
    "contact",
    "proxy_ip",
    "proxy_protocol",
    "user_agent",
    "call_id",
    "ruid",
];

/// Show what happened to registrations
///
/// Newest first: when phones registered, moved or went, and why.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_long_help = "\
Examples:
  usrlocd history alice@acme.example.com
  usrlocd history --account acme.example.com --since 2h --events terminated
      which registrations of an account ended within two hours
  usrlocd history --since 2026-11-30T03:00:00Z --reason expired -o csv
  usrlocd history forget alice@acme.example.com

Exit status:
  0 success (even if nothing happened), 1 no such account or user, 64 usage,
  69 no daemon or no history, 77 permission

Environment:
  USRLOCD_URL, USRLOCD_TOKEN_FILE as --url and --token-file; NO_COLOR turns colours off"
)]
pub(super) struct History {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The user, alone or as USER@REALM [default: all users]
    #[arg(value_parser = remote::user)]
    user: Option<String>,
    /// Only this account: its id, or a realm or name that only one account has
    #[arg(short, long, value_parser = remote::account)]
    account: Option<String>,
    /// Start: how long ago (24h, 30m), or an RFC 3339 time
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = moment)]
    since: Moment,
    /// End, in the same form as --since [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,
    /// Only these types of events, separated by commas: registered, moved, changed, terminated, source, burst, directory
    #[arg(long, value_name = "TYPES")]
    events: Option<String>,
    #[arg(
        help = "Only registrations that ended for these reasons: expired, flushed, replaced, account_changed, removed",
        long,
        value_name = "REASONS"
    )]
    reason: Option<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    remote: Remote,
}

/// What can be done with the history beside reading it.
#[derive(Debug, Subcommand)]
enum Verb {
    Forget(Forget),
}

/// Delete a user's events from the history
///
/// Works only over the daemon's Unix socket. Current registrations are not touched, and new events are recorded as
/// before. Clients that follow the log get a gap.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd history forget alice@acme.example.com
  usrlocd history forget alice --account acme.example.com

Exit status:
  0 success, 1 no such account or user, 64 usage, 69 no daemon or no history, 77 permission")]
struct Forget {
    /// The user, alone or as USER@REALM
    #[arg(value_parser = remote::user)]
    user: String,
    /// The user's account: its id, or a realm or name that only one account has
    #[arg(short, long, value_parser = remote::account)]
    account: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// A page of events.
#[derive(Debug, Default, serde::Deserialize)]
struct Page {
    data: Vec<Box<RawValue>>,
    next_start_key: Option<String>,
    oldest: Option<String>,
}

impl History {
    pub(super) fn run(self) -> Result<(), Failure> {
        if let Some(Verb::Forget(forget)) = self.verb {
            return forget.run();
        }
        let format = self.output.format()?;
        self.output.check(WIDE)?;
        let client = self.remote.client()?;
        remote::run(async {
            let path = self.path(&client).await?;
            if format == Format::Csv {
                return self.csv(&client, &path).await;
            }
            self.pages(&client, &path, format).await
        })
    }

    /// Where the events are.
    async fn path(&self, client: &Client) -> Result<String, Failure> {
        if let Some(user) = &self.user {
            let person = Person::find(client, user, self.account.as_deref(), "history").await?;
            return Ok(person.path("history"));
        }
        Ok(match &self.account {
            Some(account) => {
                remote::beside(Some(&account::resolve(client, account).await?), "history")
            }
            None => remote::beside(None, "history"),
        })
    }

    fn query(&self, start: Option<&str>, further: &[(&str, &str)]) -> String {
        let (since, until) = (self.since.text(), self.until.as_ref().map(Moment::text));
        let size = PAGE.to_string();
        let optional = [
            ("to", until.as_deref()),
            ("events", self.events.as_deref()),
            ("reason", self.reason.as_deref()),
            ("start_key", start),
        ];
        let optional = optional
            .iter()
            .filter_map(|(name, value)| Some((*name, (*value)?)));
        let fixed = [("from", &*since), ("page_size", &*size)];
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(
                fixed
                    .into_iter()
                    .chain(optional)
                    .chain(further.iter().copied()),
            )
            .finish()
    }

    async fn pages(&self, client: &Client, path: &str, format: Format) -> Result<(), Failure> {
        let (mut rows, mut key, mut count) = (Vec::new(), None::<String>, 0);
        loop {
            let target = format!("{path}?{}", self.query(key.as_deref(), &[]));
            let answer = remote::ask(client, Method::GET, &target).await?;
            let body = answer.body().await.map_err(|error| lost(client, error))?;
            let page: Page = remote::parse(client, &body)?;
            if count == 0 && page.data.is_empty() {
                hint(nothing(page.oldest.as_deref()));
            }
            let is_last = page.next_start_key.is_none();
            let text = match format {
                Format::Json => array(&page.data, count, is_last),
                Format::Ndjson => lines(&page.data),
                Format::Table | Format::Wide | Format::Csv => {
                    for event in &page.data {
                        rows.push(row(&remote::parse(client, event.get().as_bytes())?));
                    }
                    String::new()
                }
            };
            count += page.data.len();
            if !print_more_json(&text)? || is_last {
                break;
            }
            key = page.next_start_key;
        }
        if format.is_tabular() {
            let columns = if format == Format::Wide { WIDE } else { TABLE };
            print(&self.output.table(rows, columns, format))?;
        }
        Ok(())
    }

    async fn csv(&self, client: &Client, path: &str) -> Result<(), Failure> {
        let (mut lines, mut key) = (CsvLines::default(), None::<String>);
        loop {
            let query = self.query(key.as_deref(), &[("accept", "csv")]);
            let answer = remote::ask(client, Method::GET, &format!("{path}?{query}")).await?;
            let next = answer.header("x-next-start-key").map(str::to_owned);
            let body = answer.body().await.map_err(|error| lost(client, error))?;
            // Each page has its row of names; one is enough.
            let skipped = match key {
                None => 0,
                Some(_) => body
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .map_or(0, |end| end + 1),
            };
            if !lines.print(&body[skipped..])? || next.is_none() {
                break;
            }
            key = next;
        }
        lines.finish().map(drop)
    }
}

impl Forget {
    fn run(&self) -> Result<(), Failure> {
        let client = self.remote.client()?;
        remote::run(async {
            let person =
                Person::find(&client, &self.user, self.account.as_deref(), "history").await?;
            let answer = remote::ask(&client, Method::DELETE, &person.path("history")).await?;
            let envelope = remote::envelope(&client, answer).await?;
            let Some(count) = envelope["data"]["forgotten"].as_u64() else {
                return Err(stranger(&client));
            };
            print_json(&format!("{}\n", json!({"forgotten": count})))
        })
    }
}

/// Why there may be nothing to show.
fn nothing(oldest: Option<&str>) -> String {
    match oldest {
        Some(oldest) => format!("no events in that time (the history begins at {oldest})"),
        None => "the history is empty".to_owned(),
    }
}

/// An event as a row of a table.
fn row(event: &Value) -> Value {
    let mut row = event["registration"].clone();
    if !row.is_object() {
        row = json!({});
    }
    for key in ["at", "node", "type", "reason", "username", "realm"] {
        if !event[key].is_null() {
            row[key] = event[key].clone();
        }
    }
    if event["type"] == "burst" {
        let (lost, of, value) = (&event["lost"], &event["of"], &event["value"]);
        row["reason"] = format!("{lost} of {of}").into();
        row["username"] = value.clone();
    }
    if event["type"] == "source" {
        row["reason"] = event["source"]["state"].clone();
    }
    if event["type"] == "gap" {
        row["reason"] = event["cause"].clone();
    }
    row
}

/// Events as their part of one array, of which so many were printed before.
fn array(events: &[Box<RawValue>], before: usize, is_last: bool) -> String {
    let mut text = String::from(if before == 0 { "[" } else { "" });
    for (at, event) in events.iter().enumerate() {
        text.push_str(if before + at == 0 { "\n" } else { ",\n" });
        text.push_str(event.get());
    }
    if is_last {
        text.push_str("\n]\n");
    }
    text
}

/// Asks at a path and returns the data.
pub(super) async fn data(client: &Client, target: &str) -> Result<Value, Failure> {
    let answer = remote::ask(client, Method::GET, target).await?;
    let mut envelope = remote::envelope(client, answer).await?;
    remote::mention_source(&envelope["source"]);
    match envelope["data"].take() {
        Value::Null => Err(Failure::Unavailable(anyhow!(
            "this usrlocd is too old for this; update it"
        ))),
        data => Ok(data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_row() {
        let burst =
            json!({"type": "burst", "at": "T", "lost": 20, "of": 41, "value": "198.51.100.0/24"});
        let shown = row(&burst);
        assert_eq!(shown["reason"], "20 of 41");
        assert_eq!(shown["username"], "198.51.100.0/24");
        let lost = json!({
            "type": "terminated", "reason": "expired", "username": "alice", "at": "T",
            "registration": {"username": "alice", "source_ip": "192.0.2.1"},
        });
        let shown = row(&lost);
        assert_eq!(
            (&shown["reason"], &shown["source_ip"]),
            (&json!("expired"), &json!("192.0.2.1"))
        );
    }
}

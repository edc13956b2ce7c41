//! `usrlocd flaps`: the phones that flap now.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::account;
use super::history::data;
use super::output::{hint, lines, print, print_csv, print_json};
use super::refusals::stranger;
use super::remote::{self, Remote};
use super::show_rows::{Format, Output, cell};
use crate::daemon::Failure;
use crate::events::group::network;
use crate::spreadsheet::write_record;

const TABLE: &[&str] = &[
    "username",
    "realm",
    "score",
    "losses_24h",
    "since",
    "addresses",
];
const KEYS: &[&str] = &[
    "account_id",
    "username",
    "realm",
    "instance",
    "score",
    "losses_24h",
    "since",
    "addresses",
    "user_agents",
    "proxies",
];
const COUNTS: &[&str] = &["value", "phones"];

/// List the flapping phones: those that keep coming and going
///
/// Worst first. A loss adds 1000 to a phone's score, which halves every 30 minutes. A phone is flapping from a score of
/// 3000 until it drops below 750 ([history.flap] sets these).
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd flaps
  usrlocd flaps acme.example.com -o wide
  usrlocd flaps --by source
      how many in each network

Exit status:
  0 success (even if no phone is flapping), 1 no such account, 64 usage, 69 no daemon, 77 permission

Environment:
  USRLOCD_URL, USRLOCD_TOKEN_FILE as --url and --token-file; NO_COLOR turns colours off")]
pub(super) struct Flaps {
    /// Account id, or a realm or name that only one account has [default: all accounts that you may see]
    #[arg(value_parser = remote::account)]
    account: Option<String>,
    /// Count the phones by this value
    #[arg(long, value_name = "WHAT")]
    by: Option<By>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    remote: Remote,
}

/// What flapping phones are counted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum By {
    /// The network: /24, or /48 for IPv6
    Source,
    /// The user agent
    #[value(name = "user_agent")]
    UserAgent,
    /// The socket of the proxy
    Proxy,
}

impl Flaps {
    pub(super) fn run(self) -> Result<(), Failure> {
        let format = self.output.format()?;
        let (keys, columns) = match (self.by, format) {
            (Some(_), _) => (COUNTS, COUNTS),
            (None, Format::Wide) => (KEYS, KEYS),
            (None, _) => (KEYS, TABLE),
        };
        self.output.check(keys)?;
        let client = self.remote.client()?;
        remote::run(async {
            let account = match &self.account {
                Some(account) => Some(account::resolve(&client, account).await?),
                None => None,
            };
            let path = remote::beside(account.as_deref(), "flapping");
            let Value::Array(mut rows) = data(&client, &path).await? else {
                return Err(stranger(&client));
            };
            if rows.is_empty() {
                hint("no phone is flapping");
            }
            if let Some(by) = self.by {
                rows = counts(&rows, by);
            }
            match format {
                Format::Table | Format::Wide => {
                    let rows = rows.iter().map(flat).collect();
                    print(&self.output.table(rows, columns, format))
                }
                Format::Json => print_json(&format!("{:#}\n", Value::Array(rows))),
                Format::Ndjson => print_json(&lines(&rows)),
                Format::Csv => print_csv(&csv(&rows, keys)),
            }
        })
    }
}

/// How many phones have which value, the most frequent first. One that had several is counted with the latest.
fn counts(rows: &[Value], by: By) -> Vec<Value> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows {
        let latest = |key: &str| {
            let values = row[key].as_array();
            values
                .and_then(|all| all.last())
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let value = match by {
            By::Source => latest("addresses").and_then(|address| network(&address)),
            By::UserAgent => latest("user_agents"),
            By::Proxy => latest("proxies"),
        };
        *counts
            .entry(value.unwrap_or_else(|| "unknown".to_owned()))
            .or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, phones)| std::cmp::Reverse(*phones));
    let row = |(value, phones)| json!({"value": value, "phones": phones});
    counts.into_iter().map(row).collect()
}

/// A phone with its lists in one line each.
fn flat(row: &Value) -> Value {
    let mut row = row.clone();
    for key in ["addresses", "user_agents", "proxies"] {
        if let Some(all) = row[key].as_array() {
            let all: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
            row[key] = all.join(", ").into();
        }
    }
    row
}

fn csv(rows: &[Value], keys: &[&str]) -> String {
    let mut out = Vec::new();
    write_record(keys.iter().copied(), &mut out);
    for row in rows.iter().map(flat) {
        let text = |key: &&str| match &row[*key] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => cell(other),
        };
        let cells: Vec<String> = keys.iter().map(text).collect();
        write_record(cells.iter().map(String::as_str), &mut out);
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_are_counted_by_what_they_have_in_common() {
        let phone = |address: &str, agent: &str| json!({"addresses": ["192.0.2.1", address], "user_agents": [agent]});
        let rows = [
            phone("198.51.100.7", "Snom"),
            phone("198.51.100.8", "Yealink"),
            phone("2001:db8::1", "Snom"),
            json!({"username": "alice"}),
        ];
        assert_eq!(
            counts(&rows, By::Source),
            [
                json!({"value": "198.51.100.0/24", "phones": 2}),
                json!({"value": "2001:db8::/48", "phones": 1}),
                json!({"value": "unknown", "phones": 1}),
            ]
        );
        assert_eq!(
            counts(&rows, By::UserAgent)[0],
            json!({"value": "Snom", "phones": 2})
        );
    }
}

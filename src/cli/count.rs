//! `usrlocd count` and `usrlocd accounts`: how many registrations there are.

use clap::Args;
use serde_json::{Value, json};

use super::account;
use super::output::{hint, lines, print, print_csv, print_json};
use super::redraw::{self, Canvas, Frame, Watching};
use super::remote::{self, Filters, Remote};
use super::show_rows::{Format, Output};
use crate::daemon::Failure;
use crate::spreadsheet::write_record;

/// Count registrations
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd count
  usrlocd count acme.example.com --filter proxy_protocol=tls
  usrlocd count --search 'ua:yealink flapping:yes'
  usrlocd count -o json

Exit status:
  0 success, 1 no such account, 64 usage, 69 no daemon, 77 permission

Environment:
  USRLOCD_URL, USRLOCD_TOKEN_FILE as --url and --token-file")]
pub(super) struct Count {
    /// Account id, or a realm or name that only one account has [default: all accounts that you may see]
    #[arg(value_parser = remote::account)]
    account: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// json prints {"count": N}; any other format, and the default, prints only the number
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
    #[command(flatten)]
    watching: Watching,
    #[command(flatten)]
    remote: Remote,
}

/// List accounts with the number of their registrations
///
/// Lists accounts that have rows in Kamailio's tables and that you may see; names and realms come from the
/// directory or from the rows.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd accounts
  usrlocd accounts --sort -count
  usrlocd accounts -o json

Exit status:
  0 success, 64 usage, 69 no daemon, 77 permission

Environment:
  USRLOCD_URL, USRLOCD_TOKEN_FILE as --url and --token-file; NO_COLOR turns colours off")]
pub(super) struct Accounts {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    watching: Watching,
    #[command(flatten)]
    remote: Remote,
}

/// The keys of an account.
pub(super) const ACCOUNT_KEYS: &[&str] = &["id", "name", "realm", "count"];

impl Count {
    pub(super) fn run(self) -> Result<(), Failure> {
        let as_json = matches!(self.output, Some(Format::Json | Format::Ndjson));
        self.watching.check(!as_json)?;
        let client = self.remote.client()?;
        let last = format!("/count?{}", self.filters.query(&[]));
        remote::run(async {
            let reach = account::reach(&client, self.account.as_deref()).await?;
            if self.watching.wanted() {
                let draw = async |_: Canvas| {
                    let (count, source) = account::count(&client, &reach, &last).await?;
                    Ok(Frame::of(format!("{count}\n"), &source))
                };
                return redraw::run(&self.watching, draw).await;
            }
            let (count, source) = account::count(&client, &reach, &last).await?;
            remote::mention_source(&source);
            if as_json {
                print(&format!("{}\n", json!({"count": count})))
            } else {
                print(&format!("{count}\n"))
            }
        })
    }
}

impl Accounts {
    pub(super) fn run(self) -> Result<(), Failure> {
        let format = self.output.format()?;
        self.output.check(ACCOUNT_KEYS)?;
        self.watching.check(format.is_tabular())?;
        let client = self.remote.client()?;
        let table = |accounts| self.output.table(accounts, ACCOUNT_KEYS, format);
        remote::run(async {
            if self.watching.wanted() {
                let draw = async |_: Canvas| {
                    let (accounts, source) = account::seen(&client).await?;
                    Ok(Frame::of(table(accounts), &source))
                };
                return redraw::run(&self.watching, draw).await;
            }
            let (accounts, source) = account::seen(&client).await?;
            remote::mention_source(&source);
            if accounts.is_empty() {
                hint("no account has any registrations");
            }
            match format {
                Format::Table | Format::Wide => print(&table(accounts)),
                Format::Json => print_json(&format!("{:#}\n", Value::Array(accounts))),
                Format::Ndjson => print_json(&lines(&accounts)),
                Format::Csv => print_csv(&csv(&accounts)),
            }
        })
    }
}

fn csv(accounts: &[Value]) -> String {
    let mut out = Vec::new();
    write_record(ACCOUNT_KEYS.iter().copied(), &mut out);
    for account in accounts {
        let text = |key: &&str| match &account[*key] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let row: Vec<String> = ACCOUNT_KEYS.iter().map(text).collect();
        write_record(row.iter().map(String::as_str), &mut out);
    }
    String::from_utf8_lossy(&out).into_owned()
}

//! `usrlocd count` and `usrlocd accounts`: how many registrations there are.

use anyhow::anyhow;
use clap::Args;
use http::Method;
use serde_json::Value;

use super::complete;
use super::output::{hint, lines, print};
use super::redraw::{self, Frame, Room, Watching};
use super::remote::{self, Filters, Remote};
use super::show_rows::{Format, Output};
use crate::client::Client;
use crate::daemon::Failure;

/// Count registrations
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd count
  usrlocd count acme.example.com --filter proxy_protocol=tls
  usrlocd count -o json

Exit status:
  0 done, 1 no such account, 64 usage, 69 no daemon, 77 permission

Environment:
  USRLOCD_URL, USRLOCD_TOKEN_FILE as --url and --token-file")]
pub(super) struct Count {
    /// The account's id; without it all accounts
    #[arg(add = complete::accounts())]
    account: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// json prints {"count": N}; everything else, and the default, the number alone
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
    #[command(flatten)]
    watching: Watching,
    #[command(flatten)]
    remote: Remote,
}

/// List accounts with the number of their registrations
///
/// Accounts appear that have rows in Kamailio's tables; names and realms come from the directory.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd accounts
  usrlocd accounts --sort -count
  usrlocd accounts -o json

Exit status:
  0 done, 64 usage, 69 no daemon, 77 permission (it needs the right to all accounts)

Environment:
  USRLOCD_URL, USRLOCD_TOKEN_FILE as --url and --token-file; NO_COLOR for no colour")]
pub(super) struct Accounts {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    watching: Watching,
    #[command(flatten)]
    remote: Remote,
}

/// Where the accounts are.
pub(super) const ACCOUNTS: &str = "/v2/registrations/count?accounts=true";

/// The keys of an account.
pub(super) const ACCOUNT_KEYS: &[&str] = &["id", "name", "realm", "count"];

impl Count {
    pub(super) fn run(self) -> Result<(), Failure> {
        let as_json = matches!(self.output, Some(Format::Json | Format::Ndjson));
        self.watching.check(!as_json)?;
        let client = self.remote.client()?;
        let path = remote::path(self.account.as_deref(), Some("count"));
        let target = format!("{path}?{}", self.filters.query(&[]));
        remote::run(async {
            if self.watching.wanted() {
                let draw = async |_: Room| {
                    let envelope = envelope(&client, &target).await?;
                    let text = format!("{}\n", envelope["data"]["count"]);
                    Ok(Frame::of(text, &envelope))
                };
                return redraw::run(&self.watching, draw).await;
            }
            let envelope = envelope(&client, &target).await?;
            remote::mention_source(&envelope["source"]);
            if as_json {
                print(&format!("{}\n", envelope["data"]))
            } else {
                print(&format!("{}\n", envelope["data"]["count"]))
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
                let draw = async |_: Room| {
                    let mut envelope = envelope(&client, ACCOUNTS).await?;
                    let text = table(accounts(&mut envelope)?);
                    Ok(Frame::of(text, &envelope))
                };
                return redraw::run(&self.watching, draw).await;
            }
            let mut envelope = envelope(&client, ACCOUNTS).await?;
            remote::mention_source(&envelope["source"]);
            let accounts = accounts(&mut envelope)?;
            if accounts.is_empty() {
                hint("no account has registrations");
            }
            match format {
                Format::Table | Format::Wide => print(&table(accounts)),
                Format::Json => print(&format!("{:#}\n", Value::Array(accounts))),
                Format::Ndjson => print(&lines(&accounts)),
                Format::Csv => print(&csv(&accounts)),
            }
        })
    }
}

async fn envelope(client: &Client, target: &str) -> Result<Value, Failure> {
    let answer = remote::ask(client, Method::GET, target).await?;
    remote::envelope(client, answer).await
}

/// The accounts with their numbers.
pub(super) fn accounts(envelope: &mut Value) -> Result<Vec<Value>, Failure> {
    match envelope["data"]["accounts"].take() {
        Value::Array(accounts) => Ok(accounts),
        _ => Err(Failure::Unavailable(anyhow!(
            "this usrlocd is older and cannot list accounts; update it"
        ))),
    }
}

fn csv(accounts: &[Value]) -> String {
    let field = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) if text.contains(['"', ',', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut text = format!("{}\r\n", ACCOUNT_KEYS.join(","));
    for account in accounts {
        let row: Vec<_> = ACCOUNT_KEYS
            .iter()
            .map(|key| field(&account[*key]))
            .collect();
        text.push_str(&row.join(","));
        text.push_str("\r\n");
    }
    text
}

//! `usrlocd count` and `usrlocd accounts`: how many registrations there are.

use clap::Args;
use http::Method;
use serde_json::Value;

use super::output::{hint, lines, print};
use super::remote::{self, Filters, Remote};
use super::show_rows::{Format, Output};
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
    account: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// json prints {"count": N}; everything else, and the default, the number alone
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
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
    remote: Remote,
}

const ACCOUNT_KEYS: &[&str] = &["id", "name", "realm", "count"];

impl Count {
    pub(super) fn run(self) -> Result<(), Failure> {
        let client = self.remote.client()?;
        let path = remote::path(self.account.as_deref(), Some("count"));
        remote::run(async {
            let target = format!("{path}?{}", self.filters.query(&[]));
            let answer = remote::ask(&client, Method::GET, &target).await?;
            let envelope = remote::envelope(&client, answer).await?;
            match self.output {
                Some(Format::Json | Format::Ndjson) => print(&format!("{}\n", envelope["data"])),
                _ => print(&format!("{}\n", envelope["data"]["count"])),
            }
        })
    }
}

impl Accounts {
    pub(super) fn run(self) -> Result<(), Failure> {
        let format = self.output.format()?;
        self.output.check(ACCOUNT_KEYS)?;
        let client = self.remote.client()?;
        remote::run(async {
            let target = "/v2/registrations/count?accounts=true";
            let answer = remote::ask(&client, Method::GET, target).await?;
            let mut envelope = remote::envelope(&client, answer).await?;
            let Value::Array(accounts) = envelope["data"]["accounts"].take() else {
                return Err(Failure::Unavailable(anyhow::anyhow!(
                    "this usrlocd is older and cannot list accounts; update it"
                )));
            };
            if accounts.is_empty() {
                hint("no account has registrations");
            }
            match format {
                Format::Table | Format::Wide => self.output.table(accounts, ACCOUNT_KEYS, format),
                Format::Json => print(&format!("{:#}\n", Value::Array(accounts))),
                Format::Ndjson => print(&lines(&accounts)),
                Format::Csv => print(&csv(&accounts)),
            }
        })
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

//! `usrlocd count` and `usrlocd accounts`: how many registrations there are.

use anyhow::anyhow;
use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::complete;
use super::output::{hint, lines, print, print_csv, print_json};
use super::pages::Reach;
use super::redraw::{self, Frame, Room, Watching};
use super::remote::{self, Filters, Remote};
use super::show_rows::{Format, Output};
use crate::client::Client;
use crate::daemon::Failure;
use crate::spreadsheet::write_record;

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
    /// The account's id; without it all accounts that you may see
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
/// Accounts appear that have rows in Kamailio's tables, of those that you may see; names and realms come from the
/// directory or from the rows.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd accounts
  usrlocd accounts --sort -count
  usrlocd accounts -o json

Exit status:
  0 done, 64 usage, 69 no daemon, 77 permission

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
const ACCOUNTS: &str = "/v2/registrations/count?accounts=true";

/// The keys of an account.
pub(super) const ACCOUNT_KEYS: &[&str] = &["id", "name", "realm", "count"];

impl Count {
    pub(super) fn run(self) -> Result<(), Failure> {
        let as_json = matches!(self.output, Some(Format::Json | Format::Ndjson));
        self.watching.check(!as_json)?;
        let client = self.remote.client()?;
        let last = format!("/count?{}", self.filters.query(&[]));
        remote::run(async {
            let reach = Reach::of(&client, self.account.as_deref()).await?;
            if self.watching.wanted() {
                let draw = async |_: Room| {
                    let (count, source) = count(&client, &reach, &last).await?;
                    Ok(Frame::of(format!("{count}\n"), &source))
                };
                return redraw::run(&self.watching, draw).await;
            }
            let (count, source) = count(&client, &reach, &last).await?;
            remote::mention_source(&source);
            if as_json {
                print(&format!("{}\n", json!({"count": count})))
            } else {
                print(&format!("{count}\n"))
            }
        })
    }
}

/// How many there are in all lists, and what is known of Kamailio's tables.
async fn count(client: &Client, reach: &Reach, last: &str) -> Result<(u64, Value), Failure> {
    let envelopes = reach.envelopes(client, last).await?;
    let counts = envelopes.iter().map(|it| it["data"]["count"].as_u64());
    let Some(sum) = counts.sum::<Option<u64>>() else {
        return Err(remote::stranger(client));
    };
    let source = envelopes.into_iter().next_back();
    let source = source.map(|mut it| it["source"].take());
    Ok((sum, source.unwrap_or_default()))
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
                    let (accounts, source) = seen(&client).await?;
                    Ok(Frame::of(table(accounts), &source))
                };
                return redraw::run(&self.watching, draw).await;
            }
            let (accounts, source) = seen(&client).await?;
            remote::mention_source(&source);
            if accounts.is_empty() {
                hint("no account has registrations");
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

/// The accounts that the caller may see and that have rows, and what is known of Kamailio's tables.
pub(super) async fn seen(client: &Client) -> Result<(Vec<Value>, Value), Failure> {
    let reach = Reach::of(client, None).await?;
    if reach.is_system() {
        let answer = remote::ask(client, Method::GET, ACCOUNTS).await?;
        let mut envelope = remote::envelope(client, answer).await?;
        let accounts = accounts(&mut envelope)?;
        return Ok((accounts, envelope["source"].take()));
    }
    let (mut all, mut source) = (Vec::new(), Value::Null);
    for path in &reach.paths {
        let one = reach.only(path);
        let (count, known) = count(client, &one, "/count").await?;
        let first = one.envelopes(client, "?page_size=1").await?;
        source = known;
        // An account is named by its rows: the API tells no other way.
        if let Some(item) = first.first().map(|it| &it["data"][0])
            && count > 0
        {
            all.push(json!({
                "id": remote::account_of(path),
                "name": item["account_name"],
                "realm": item["account_realm"],
                "count": count,
            }));
        }
    }
    Ok((all, source))
}

/// The accounts with their numbers.
fn accounts(envelope: &mut Value) -> Result<Vec<Value>, Failure> {
    match envelope["data"]["accounts"].take() {
        Value::Array(accounts) => Ok(accounts),
        _ => Err(Failure::Unavailable(anyhow!(
            "this usrlocd is older and cannot list accounts; update it"
        ))),
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

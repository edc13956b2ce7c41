//! `usrlocd list` and `usrlocd show`: who is registered.

use anyhow::anyhow;
use clap::Args;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::output::{hint, lines, print_more};
use super::remote::{self, Filters, Remote};
use super::show_rows::{Format, Output};
use crate::client::Client;
use crate::daemon::Failure;
use crate::registration::item::Field;

const TABLE: &[&str] = &[
    "username",
    "realm",
    "contact",
    "source_ip",
    "expires",
    "user_agent",
];
const WIDE: &[&str] = &[
    "username",
    "realm",
    "account_name",
    "contact",
    "source_ip",
    "source_port",
    "proxy_ip",
    "proxy_protocol",
    "expires",
    "last_registration",
    "user_agent",
    "call_id",
];

/// How many items are asked for at a time, so that memory does not grow with the list.
const PAGE: &str = "1000";

/// List registrations
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd list
      everybody
  usrlocd list acme.example.com --filter user_agent='Yealink SIP-T46S 66.85.0.5'
      the phones of one account with one firmware
  usrlocd list --columns username,contact,expires --sort -expires
  usrlocd list -o ndjson | jq -r .contact

Exit status:
  0 done (nobody registered is an answer too), 1 no such account, 64 usage,
  69 no daemon, 77 permission

Environment:
  USRLOCD_URL, USRLOCD_TOKEN_FILE as --url and --token-file; NO_COLOR for no colour")]
pub(super) struct List {
    /// The account's id; without it all accounts
    account: Option<String>,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    remote: Remote,
}

/// Show the registrations of one SIP user
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd show alice
      in all accounts
  usrlocd show alice@acme.example.com -o json
  usrlocd show alice --account acme.example.com

Exit status:
  0 done, 1 not registered or not known, 64 usage, 69 no daemon, 77 permission

Environment:
  USRLOCD_URL, USRLOCD_TOKEN_FILE as --url and --token-file; NO_COLOR for no colour")]
pub(super) struct Show {
    /// The user, alone or as USER@REALM
    user: String,
    /// Only in this account
    #[arg(short, long)]
    account: Option<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    remote: Remote,
}

/// What a page of a list says.
#[derive(Debug, Deserialize)]
struct Page {
    data: Vec<Box<RawValue>>,
    next_start_key: Option<String>,
    source: Value,
}

impl List {
    pub(super) fn run(self) -> Result<(), Failure> {
        let path = remote::path(self.account.as_deref(), None);
        let count = print_items(&self.remote, &path, &self.filters, &self.output)?;
        if count == Some(0) {
            hint("nobody is registered");
        }
        Ok(())
    }
}

impl Show {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (user, realm) = match self.user.split_once('@') {
            Some((user, realm)) => (user, Some(realm)),
            None => (&*self.user, None),
        };
        let mut filters = Filters::default();
        if let Some(realm) = realm {
            filters.and("filter_realm", realm);
        }
        // `count` is a word of the API, not a user of it.
        let path = match &self.account {
            Some(account) if user != "count" => remote::path(Some(account), Some(user)),
            account => {
                filters.and("filter_username", user);
                remote::path(account.as_deref(), None)
            }
        };
        match print_items(&self.remote, &path, &filters, &self.output)? {
            Some(0) => Err(Failure::Failed(anyhow!(
                "`{}` is not registered; `usrlocd list` shows who is (letters' case counts)",
                self.user
            ))),
            _ => Ok(()),
        }
    }
}

/// Prints the items at `path`; their number where it is known.
fn print_items(
    remote: &Remote,
    path: &str,
    filters: &Filters,
    output: &Output,
) -> Result<Option<usize>, Failure> {
    let format = output.format()?;
    let keys: Vec<_> = Field::ALL.iter().map(|field| field.name()).collect();
    output.check(&keys)?;
    let client = remote.client()?;
    let mut count = None;
    remote::run(async {
        let path = own_path(&client, path).await?;
        if format == Format::Csv {
            return csv(&client, &path, filters).await;
        }
        count = Some(pages(&client, &path, filters, output, format).await?);
        Ok(())
    })?;
    Ok(count)
}

/// The list of all accounts, or of the only account of a token that may not see all.
async fn own_path(client: &Client, path: &str) -> Result<String, Failure> {
    if client.has_token() && path == "/v2/registrations" {
        let probe = client
            .send(Method::HEAD, "/v2/registrations/count", &[])
            .await
            .map_err(|error| remote::lost(client, error))?;
        if probe.status == StatusCode::FORBIDDEN {
            return Ok("/v2/account/registrations".to_owned());
        }
    }
    Ok(path.to_owned())
}

async fn csv(client: &Client, path: &str, filters: &Filters) -> Result<(), Failure> {
    let target = format!("{path}?{}", filters.query(&[("accept", "csv")]));
    let mut answer = remote::ask(client, Method::GET, &target).await?;
    while let Some(piece) = answer
        .piece()
        .await
        .map_err(|error| remote::lost(client, error))?
    {
        if !print_more(&piece)? {
            break;
        }
    }
    Ok(())
}

/// Walks the pages of the list and prints them as they come; a table needs all of them first.
async fn pages(
    client: &Client,
    path: &str,
    filters: &Filters,
    output: &Output,
    format: Format,
) -> Result<usize, Failure> {
    let mut rows = Vec::new();
    let mut count = 0;
    let mut start: Option<String> = None;
    loop {
        let mut further = vec![("page_size", PAGE)];
        further.extend(start.as_deref().map(|key| ("start_key", key)));
        let target = format!("{path}?{}", filters.query(&further));
        let answer = remote::ask(client, Method::GET, &target).await?;
        let body = answer
            .body()
            .await
            .map_err(|error| remote::lost(client, error))?;
        let page: Page = remote::parse(client, &body)?;
        if start.is_none() {
            remote::mention_source(&page.source);
        }
        let text = match format {
            Format::Json => array(&page, count == 0),
            Format::Ndjson => lines(&page.data),
            Format::Table | Format::Wide | Format::Csv => {
                for item in &page.data {
                    rows.push(remote::parse(client, item.get().as_bytes())?);
                }
                String::new()
            }
        };
        count += page.data.len();
        if !print_more(text.as_bytes())? {
            return Ok(count);
        }
        start = page.next_start_key;
        if start.is_none() {
            break;
        }
    }
    match format {
        Format::Table => output.table(rows, TABLE, format)?,
        Format::Wide => output.table(rows, WIDE, format)?,
        Format::Json | Format::Ndjson | Format::Csv => {}
    }
    Ok(count)
}

/// A page as its part of one array.
fn array(page: &Page, first: bool) -> String {
    let mut text = String::from(if first { "[" } else { "" });
    for (at, item) in page.data.iter().enumerate() {
        text.push_str(if first && at == 0 { "\n" } else { ",\n" });
        text.push_str(item.get());
    }
    if page.next_start_key.is_none() {
        text.push_str("\n]\n");
    }
    text
}

//! `usrlocd list` and `usrlocd show`: who is registered.

use anyhow::anyhow;
use clap::Args;
use http::Method;
use serde_json::Value;

use super::complete;
use super::output::{hint, lines, print, print_more};
use super::pages::{Page, Pages, own_path};
use super::redraw::{self, Frame, Room, Watching};
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
    #[arg(add = complete::accounts())]
    account: Option<String>,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    watching: Watching,
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
    #[arg(add = complete::users())]
    user: String,
    /// Only in this account
    #[arg(short, long, add = complete::accounts())]
    account: Option<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    watching: Watching,
    #[command(flatten)]
    remote: Remote,
}

/// Which items are to be printed, and how.
#[derive(Debug)]
struct Wanted<'a> {
    path: String,
    filters: &'a Filters,
    output: &'a Output,
    watching: &'a Watching,
    remote: &'a Remote,
    /// What stands for an empty list.
    nobody: &'a str,
}

impl List {
    pub(super) fn run(self) -> Result<(), Failure> {
        let wanted = Wanted {
            path: remote::path(self.account.as_deref(), None),
            filters: &self.filters,
            output: &self.output,
            watching: &self.watching,
            remote: &self.remote,
            nobody: "nobody is registered",
        };
        if wanted.run()? == Some(0) {
            hint(wanted.nobody);
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
        let wanted = Wanted {
            path,
            filters: &filters,
            output: &self.output,
            watching: &self.watching,
            remote: &self.remote,
            nobody: "not registered",
        };
        match wanted.run()? {
            Some(0) => Err(Failure::Failed(anyhow!(
                "`{}` is not registered; `usrlocd list` shows who is (letters' case counts)",
                self.user
            ))),
            _ => Ok(()),
        }
    }
}

impl Wanted<'_> {
    /// Prints the items; their number where it is known.
    fn run(&self) -> Result<Option<usize>, Failure> {
        let format = self.output.format()?;
        let keys: Vec<_> = Field::ALL.iter().map(|field| field.name()).collect();
        self.output.check(&keys)?;
        self.watching.check(format.is_tabular())?;
        let client = self.remote.client()?;
        let mut count = None;
        remote::run(async {
            let path = own_path(&client, &self.path).await?;
            if self.watching.wanted() {
                let draw = async |room: Room| self.frame(&client, &path, format, room).await;
                return redraw::run(self.watching, draw).await;
            }
            if format == Format::Csv {
                return csv(&client, &path, self.filters).await;
            }
            count = Some(self.pages(&client, &path, format).await?);
            Ok(())
        })?;
        Ok(count)
    }

    /// Walks the pages of the list and prints them as they come; a table needs all of them first.
    async fn pages(&self, client: &Client, path: &str, format: Format) -> Result<usize, Failure> {
        let mut pages = Pages::of(client, path, self.filters);
        let mut rows = Vec::new();
        let mut count = 0;
        let mut first = true;
        while let Some(page) = pages.next().await? {
            if first {
                remote::mention_source(&page.source);
            }
            let text = match format {
                Format::Json => array(&page, first),
                Format::Ndjson => lines(&page.data),
                Format::Table | Format::Wide | Format::Csv => {
                    take_rows(client, &page, &mut rows)?;
                    String::new()
                }
            };
            first = false;
            count += page.data.len();
            if !print_more(text.as_bytes())? {
                return Ok(count);
            }
        }
        if format.is_tabular() {
            print(&self.output.table(rows, columns(format), format))?;
        }
        Ok(count)
    }

    /// The table as far as it fits `room`. Sorting needs the whole list; else a page is enough.
    async fn frame(
        &self,
        client: &Client,
        path: &str,
        format: Format,
        room: Room,
    ) -> Result<Frame, Failure> {
        let mut pages = Pages::of(client, path, self.filters);
        if !self.output.sorts() {
            pages = pages.sized(room.height);
        }
        let (mut rows, mut warning, mut more) = (Vec::new(), None, false);
        while let Some(page) = pages.next().await? {
            take_rows(client, &page, &mut rows)?;
            warning = remote::warning(&page.source);
            more = page.next_start_key.is_some();
            if !self.output.sorts() {
                break;
            }
        }
        let text = if rows.is_empty() {
            format!("{}\n", self.nobody)
        } else {
            self.output.table(rows, columns(format), format)
        };
        Ok(Frame {
            text,
            warning,
            more,
        })
    }
}

fn take_rows(client: &Client, page: &Page, rows: &mut Vec<Value>) -> Result<(), Failure> {
    for item in &page.data {
        rows.push(remote::parse(client, item.get().as_bytes())?);
    }
    Ok(())
}

fn columns(format: Format) -> &'static [&'static str] {
    if format == Format::Wide { WIDE } else { TABLE }
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

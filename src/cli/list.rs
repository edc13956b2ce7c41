//! `usrlocd list` and `usrlocd show`: who is registered.

use std::cmp::Ordering;

use anyhow::anyhow;
use clap::Args;
use serde_json::Value;

use super::account;
use super::output::{CsvLines, hint, lines, print, print_more_json};
use super::pages::{Page, Reach};
use super::redraw::{self, Canvas, Frame, Watching};
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
      all registrations
  usrlocd list acme.example.com --filter user_agent='Yealink SIP-T46S 66.85.0.5'
      the phones of one account with one firmware version
  usrlocd list --columns username,contact,expires --sort -expires
  usrlocd list --search 'yealink ip:203.0.113.0/24 expires:<60'
      the Yealink phones of one network that are about to expire
  usrlocd list -o ndjson | jq -r .contact

Exit status:
  0 success (even if nobody is registered), 1 no such account, 64 usage,
  69 no daemon, 77 permission

Environment:
  USRLOCD_URL, USRLOCD_TOKEN_FILE as --url and --token-file; NO_COLOR turns colours off")]
pub(super) struct List {
    /// Account id, or a realm or name that only one account has [default: all accounts that you may see]
    #[arg(value_parser = remote::account)]
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
      in all accounts, case-insensitively
  usrlocd show alice@acme.example.com -o json
  usrlocd show alice@mail.example.com@acme.example.com
      a user whose name is a mail address
  usrlocd show alice --account acme.example.com

Exit status:
  0 success, 1 not registered or unknown, 64 usage, 69 no daemon, 77 permission

Environment:
  USRLOCD_URL, USRLOCD_TOKEN_FILE as --url and --token-file; NO_COLOR turns colours off")]
pub(super) struct Show {
    /// The user, alone or as USER@REALM
    #[arg(value_parser = remote::user)]
    user: String,
    /// Only in this account: its id, or a realm or name that only one account has
    #[arg(short, long, value_parser = remote::account)]
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
struct Printing<'a> {
    output: &'a Output,
    watching: &'a Watching,
    /// What stands for an empty list.
    nobody: &'a str,
}

impl List {
    pub(super) fn run(mut self) -> Result<(), Failure> {
        let format = format(&self.output, &self.watching)?;
        if let Some(key) = self.output.take_sort() {
            self.filters.and("sort", &key);
        }
        let wanted = Printing {
            output: &self.output,
            watching: &self.watching,
            nobody: "nobody is registered",
        };
        let client = self.remote.client()?;
        remote::run(async {
            let reach = account::reach(&client, self.account.as_deref()).await?;
            if wanted.print(&reach, &self.filters, format).await? == Some(0) {
                hint(wanted.nobody);
            }
            Ok(())
        })
    }
}

impl Show {
    pub(super) fn run(mut self) -> Result<(), Failure> {
        let format = format(&self.output, &self.watching)?;
        let sort = self.output.take_sort();
        let wanted = Printing {
            output: &self.output,
            watching: &self.watching,
            nobody: "not registered",
        };
        let client = self.remote.client()?;
        remote::run(async {
            let (reach, mut filters) = self.meant(&client).await?;
            if let Some(key) = &sort {
                filters.and("sort", key);
            }
            match wanted.print(&reach, &filters, format).await? {
                Some(0) => Err(Failure::Failed(anyhow!(
                    "`{}` is not registered; `usrlocd list` shows who is",
                    self.user
                ))),
                _ => Ok(()),
            }
        })
    }

    /// Where the user's registrations are.
    async fn meant<'a>(&self, client: &'a Client) -> Result<(Reach<'a>, Filters), Failure> {
        // The last `@`: the name may be a mail address.
        let Some((user, realm)) = self.user.rsplit_once('@') else {
            return self.meant_in(client, &self.user, None).await;
        };
        let (split, whole) = ((user, Some(realm)), (&*self.user, None));
        let is_whole =
            !self.is_registered(client, split).await? && self.is_registered(client, whole).await?;
        let (user, realm) = if is_whole { whole } else { split };
        self.meant_in(client, user, realm).await
    }

    /// Whether there is a registration of this user, in this realm where one is named.
    async fn is_registered(
        &self,
        client: &Client,
        (user, realm): (&str, Option<&str>),
    ) -> Result<bool, Failure> {
        let reach = account::reach(client, self.account.as_deref()).await?;
        let mut filters = Filters::default();
        filters.and("filter_username", &spelling(&reach, user).await?);
        in_realm(&reach, &mut filters, realm).await?;
        reach.has_any(&filters).await
    }

    /// Where the registrations of `user` are, in this realm where one is named.
    async fn meant_in<'a>(
        &self,
        client: &'a Client,
        user: &str,
        realm: Option<&str>,
    ) -> Result<(Reach<'a>, Filters), Failure> {
        let mut filters = Filters::default();
        let reach = match &self.account {
            Some(account) if remote::fits_in_path(user) => {
                let id = account::resolve(client, account).await?;
                Reach::at(client, remote::path(Some(&id), Some(user)))
            }
            account => {
                let reach = account::reach(client, account.as_deref()).await?;
                let user = spelling(&reach, user).await?;
                filters.and("filter_username", &user);
                reach
            }
        };
        in_realm(&reach, &mut filters, realm).await?;
        Ok((reach, filters))
    }
}

/// Leaves those in `realm`, where there is one, as the lists spell it: filters compare letter by letter, and realms are in
/// any case.
async fn in_realm(
    reach: &Reach<'_>,
    filters: &mut Filters,
    realm: Option<&str>,
) -> Result<(), Failure> {
    let Some(realm) = realm else {
        return Ok(());
    };
    let mut alike = None;
    let mut pages = reach.pages(filters);
    while let Some(items) = pages.next_items::<Value>().await? {
        for item in &items {
            let own = item["realm"].as_str().unwrap_or_default();
            if own == realm || (alike.is_none() && own.eq_ignore_ascii_case(realm)) {
                alike = Some(own.to_owned());
            }
        }
    }
    filters.and("filter_realm", alike.as_deref().unwrap_or(realm));
    Ok(())
}

/// The name as the lists spell it: filters compare letter by letter, and people do not.
async fn spelling(reach: &Reach<'_>, user: &str) -> Result<String, Failure> {
    for name in [user.to_owned(), user.to_ascii_lowercase()] {
        let mut filters = Filters::default();
        filters.and("filter_username", &name);
        if reach.has_any(&filters).await? {
            return Ok(name);
        }
    }
    // Lists are in the order of names in lower case.
    let lower = user.to_ascii_lowercase();
    for path in &reach.paths {
        let one = reach.only(path);
        let everybody = Filters::default();
        let mut pages = one.pages(&everybody);
        'list: while let Some(items) = pages.next_items::<Value>().await? {
            for item in &items {
                let name = item["username"].as_str().unwrap_or_default();
                match name.to_ascii_lowercase().cmp(&lower) {
                    Ordering::Less => {}
                    Ordering::Equal => return Ok(name.to_owned()),
                    Ordering::Greater => break 'list,
                }
            }
        }
    }
    Ok(user.to_owned())
}

/// The format, if all that is asked for goes together.
fn format(output: &Output, watching: &Watching) -> Result<Format, Failure> {
    let format = output.format_of_list()?;
    let keys: Vec<_> = Field::USUAL.iter().map(|field| field.name()).collect();
    output.check(&keys)?;
    watching.check(format.is_tabular())?;
    Ok(format)
}

impl Printing<'_> {
    /// Prints the items; their number where it is known.
    async fn print(
        &self,
        reach: &Reach<'_>,
        filters: &Filters,
        format: Format,
    ) -> Result<Option<usize>, Failure> {
        if self.watching.wanted() {
            let draw = async |room: Canvas| self.frame(reach, filters, format, room).await;
            redraw::run(self.watching, draw).await?;
            return Ok(None);
        }
        if format == Format::Csv {
            csv(reach, filters).await?;
            return Ok(None);
        }
        self.pages(reach, filters, format).await.map(Some)
    }

    /// Walks the pages of the list and prints them as they come; a table needs all of them first.
    async fn pages(
        &self,
        reach: &Reach<'_>,
        filters: &Filters,
        format: Format,
    ) -> Result<usize, Failure> {
        let mut pages = reach.pages(filters);
        let mut rows = Vec::new();
        let mut count = 0;
        let mut first = true;
        while let Some(page) = pages.next().await? {
            if first {
                remote::mention_source(&page.source);
            }
            let text = match format {
                Format::Json => array(&page, first, count),
                Format::Ndjson => lines(&page.data),
                Format::Table | Format::Wide | Format::Csv => {
                    rows.extend(pages.items::<Value>(&page)?);
                    String::new()
                }
            };
            first = false;
            count += page.data.len();
            if !print_more_json(&text)? {
                return Ok(count);
            }
        }
        if format.is_tabular() {
            print(&self.output.table(rows, columns(format), format))?;
        }
        Ok(count)
    }

    /// The table as far as it fits `room`.
    async fn frame(
        &self,
        reach: &Reach<'_>,
        filters: &Filters,
        format: Format,
        room: Canvas,
    ) -> Result<Frame, Failure> {
        let mut pages = reach.pages(filters).sized(room.height);
        let (mut rows, mut warning, mut more) = (Vec::new(), None, false);
        while let Some(page) = pages.next().await? {
            rows.extend(pages.items::<Value>(&page)?);
            warning = warning.or_else(|| remote::warning(&page.source));
            more = !page.is_last;
            if rows.len() >= room.height {
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

fn columns(format: Format) -> &'static [&'static str] {
    if format == Format::Wide { WIDE } else { TABLE }
}

async fn csv(reach: &Reach<'_>, filters: &Filters) -> Result<(), Failure> {
    let (mut has_header, mut lines) = (false, CsvLines::default());
    for path in &reach.paths {
        let target = format!("{path}?{}", filters.query(&[("accept", "csv")]));
        let Some(mut answer) = reach.ask(&target).await? else {
            continue;
        };
        // Each list has its row of names; one is enough.
        let mut skipping = std::mem::replace(&mut has_header, true);
        while let Some(piece) = reach.piece(&mut answer).await? {
            let piece = if skipping {
                match piece.iter().position(|byte| *byte == b'\n') {
                    None => continue,
                    Some(end) => {
                        skipping = false;
                        piece.slice(end + 1..)
                    }
                }
            } else {
                piece
            };
            if !lines.print(&piece)? {
                return Ok(());
            }
        }
    }
    lines.finish().map(drop)
}

/// A page as its part of one array, of which so many items were printed before.
fn array(page: &Page, first: bool, before: usize) -> String {
    let mut text = String::from(if first { "[" } else { "" });
    for (at, item) in page.data.iter().enumerate() {
        text.push_str(if before + at == 0 { "\n" } else { ",\n" });
        text.push_str(item.get());
    }
    if page.is_last {
        text.push_str("\n]\n");
    }
    text
}

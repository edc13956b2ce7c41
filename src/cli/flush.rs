//! `usrlocd flush`: has Kamailio remove registrations.

use std::io::{self, IsTerminal, Write};

use anyhow::anyhow;
use clap::Args;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::account;
use super::output::{hint, print, print_json};
use super::progress;
use super::refusals::{refusal, refused};
use super::remote::{self, Filters, Remote};
use super::show_rows::{Format, cell};
use crate::client::{Answer, Client};
use crate::daemon::Failure;
use crate::terminal::printable;

/// Flush registrations: Kamailio removes them, until the phones register again
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd flush acme.example.com --dry-run
      how many would be flushed; takes an account's id, realm or name
  usrlocd flush acme.example.com --user alice
      one SIP user; asks for confirmation
  usrlocd flush acme.example.com --user alice --keep-newest 1
      all contacts of the user except the one modified last
  usrlocd flush acme.example.com --filter user_agent='Yealink SIP-T46S 66.85.0.5' --yes
      without confirmation, for scripts
  usrlocd flush --search 'ip:203.0.113.0/24'
      in all accounts that you may see, and those without an account

Exit status:
  0 success, 1 nothing was flushed: no such account or user, or none confirmed,
  2 partial success, 64 usage (--yes is missing), 69 no daemon or no Kamailio,
  77 permission

Environment:
  USRLOCD_URL, USRLOCD_TOKEN_FILE as --url and --token-file")]
pub(super) struct Flush {
    /// Account id, or a realm or name that only one account has; may be left out with --search or --filter
    #[arg(value_parser = remote::account, required_unless_present_any = ["search", "filters"])]
    account: Option<String>,
    /// The id of that account, once the daemon has resolved it
    #[arg(skip)]
    id: Option<String>,
    /// Only this SIP user
    #[arg(short, long, value_parser = remote::user, requires = "account")]
    user: Option<String>,
    /// Keep this many of the user's contacts that match the filters: those modified last
    #[arg(long, value_name = "N", requires = "user")]
    keep_newest: Option<u64>,
    #[command(flatten)]
    filters: Filters,
    /// Only print how many would be flushed
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Skip the confirmation prompt
    #[arg(short, long)]
    yes: bool,
    /// json prints {"flushed": N, "failed": [...]}; any other format, and the default, prints a sentence
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
    #[command(flatten)]
    remote: Remote,
}

impl Flush {
    pub(super) fn run(mut self) -> Result<(), Failure> {
        let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        if !self.dry_run && !self.yes && !terminal {
            return Err(Failure::Usage(anyhow!(
                "flush can only ask for confirmation on a terminal; add --yes to flush, or --dry-run to see how many would be flushed"
            )));
        }
        if self
            .user
            .as_deref()
            .is_some_and(|user| !remote::fits_in_path(user))
        {
            if self.keep_newest.is_some() {
                return Err(Failure::Usage(anyhow!(
                    "--keep-newest does not work for users named `count`, `.` or `..`, which no path of the API can name"
                )));
            }
            let user = self.user.take().unwrap_or_default();
            self.filters.and("filter_username", &user);
        }
        if let Some(number) = self.keep_newest {
            self.filters.and("keep_newest", &number.to_string());
        }
        let client = self.remote.client()?;
        self.id.clone_from(&self.account);
        remote::run(self.work(&client))
    }

    async fn work(mut self, client: &Client) -> Result<(), Failure> {
        let mut total = 0;
        if self.dry_run || !self.yes || progress::is_shown() {
            let answer = self.delete(client, &[("dry_run", "true")]).await?;
            if !answer.status.is_success() {
                return Err(refused(client, answer).await);
            }
            let number = answer.header("x-would-flush").unwrap_or("0").to_owned();
            let envelope = remote::envelope(client, answer).await?;
            remote::mention_source(&envelope["source"]);
            if self.dry_run {
                return self.would(&number);
            }
            if !self.yes {
                self.confirm(&number)?;
            }
            total = number.parse().unwrap_or_default();
        }
        let target = self.target_of_list();
        let left = async || listed(client, &target).await;
        let answer = progress::wait(self.delete(client, &[]), total, left).await?;
        let status = answer.status;
        if let StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT = status
        {
            let wait = answer.header("retry-after").unwrap_or("some").to_owned();
            let envelope = remote::envelope(client, answer).await?;
            return Err(self.failed(client, status, &wait, &envelope));
        }
        if !answer.status.is_success() {
            return Err(refused(client, answer).await);
        }
        let flushed = answer.header("x-flushed").unwrap_or("0").to_owned();
        let envelope = remote::envelope(client, answer).await?;
        remote::mention_source(&envelope["source"]);
        self.done(&flushed)
    }

    /// Asks for the flush; by the account's id, which is looked for once where the word that was given is none.
    async fn delete(&mut self, client: &Client, query: &[(&str, &str)]) -> Result<Answer, Failure> {
        loop {
            let path = remote::path(self.id.as_deref(), self.user.as_deref());
            let target = format!("{path}?{}", self.filters.query(query));
            let answer = remote::send(client, Method::DELETE, &target).await?;
            let may_be_a_name =
                matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN)
                    && self.id == self.account;
            let Some(account) = self.account.as_deref().filter(|_| may_be_a_name) else {
                return Ok(answer);
            };
            let id = Some(account::resolve(client, account).await?);
            if id == self.id {
                return Ok(answer);
            }
            self.id = id;
        }
    }

    /// Where those are listed that are to go: a number, or the list of one user.
    fn target_of_list(&self) -> String {
        let last = self.user.as_deref().unwrap_or("count");
        let path = remote::path(self.id.as_deref(), Some(last));
        format!("{path}?{}", self.filters.query(&[]))
    }

    /// Who is to go, in words.
    fn whom(&self) -> String {
        let (Some(account), Some(id)) = (&self.account, &self.id) else {
            return "found in all accounts".to_owned();
        };
        let user = self.user.as_ref();
        let user = user.map_or_else(String::new, |user| format!("user {user} of "));
        let mut whom = format!("of {user}account {account}");
        if id != account {
            whom = format!("{whom} ({id})");
        }
        printable(&whom).into_owned()
    }

    fn is_json(&self) -> bool {
        matches!(self.output, Some(Format::Json | Format::Ndjson))
    }

    fn would(&self, number: &str) -> Result<(), Failure> {
        if self.is_json() {
            let number: u64 = number.parse().unwrap_or_default();
            return print(&format!("{}\n", json!({"would_flush": number})));
        }
        let noun = noun(number);
        print(&format!("would flush {number} {noun} {}\n", self.whom()))
    }

    fn confirm(&self, number: &str) -> Result<(), Failure> {
        let noun = noun(number);
        let mut err = io::stderr();
        write!(err, "flush {number} {noun} {}? [y/N] ", self.whom()).ok();
        err.flush().ok();
        let mut line = String::new();
        io::stdin().read_line(&mut line).ok();
        if matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            Ok(())
        } else {
            Err(Failure::Failed(anyhow!("nothing was flushed")))
        }
    }

    fn done(&self, flushed: &str) -> Result<(), Failure> {
        if self.is_json() {
            let flushed: u64 = flushed.parse().unwrap_or_default();
            return print(&format!("{}\n", json!({"failed": [], "flushed": flushed})));
        }
        let noun = noun(flushed);
        print(&format!("flushed {flushed} {noun} {}\n", self.whom()))
    }

    /// Not all were flushed: reports how many were, and why the rest was not.
    fn failed(&self, client: &Client, status: StatusCode, wait: &str, envelope: &Value) -> Failure {
        let data = &envelope["data"];
        let (flushed, failed) = (data["flushed"].as_u64(), &data["failed"]);
        if self.is_json() && flushed.is_some() {
            let result = json!({
                "failed": failed,
                "failed_total": data["failed_total"],
                "flushed": flushed,
            });
            if let Err(failure) = print_json(&format!("{result}\n")) {
                return failure;
            }
        }
        match flushed {
            Some(flushed) if flushed > 0 || status == StatusCode::BAD_GATEWAY => {
                for failure in failed.as_array().into_iter().flatten() {
                    let (aor, reason) = (cell(&failure["aor"]), cell(&failure["reason"]));
                    let node = failure["node"].as_str();
                    let node = node.map(|node| format!(" on {}", printable(node)));
                    let node = node.unwrap_or_default();
                    hint(format_args!("{aor}{node}: {reason}"));
                }
                let total = &data["failed_total"];
                if flushed == 0 {
                    Failure::Failed(anyhow!(
                        "nothing was flushed: {total} failed and are still listed; retrying is safe"
                    ))
                } else {
                    Failure::Partly(anyhow!(
                        "flushed {flushed}, failed {total}; those that failed are still listed; retrying is safe"
                    ))
                }
            }
            _ => refusal(client, status, wait, envelope),
        }
    }
}

/// How many are listed at `target`; `None` where that is unknown.
async fn listed(client: &Client, target: &str) -> Option<u64> {
    let answer = client.send(Method::GET, target, &[]).await.ok()?;
    let envelope = remote::envelope(client, answer).await.ok()?;
    match &envelope["data"] {
        Value::Array(items) => u64::try_from(items.len()).ok(),
        other => other["count"].as_u64(),
    }
}

fn noun(number: &str) -> &'static str {
    if number == "1" {
        "registration"
    } else {
        "registrations"
    }
}

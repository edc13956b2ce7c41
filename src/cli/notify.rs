//! `usrlocd notify`: has Kamailio ask phones to act.

use std::fmt::Write as _;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use http::StatusCode;
use serde_json::{Value, json};

use super::output::{print, print_json};
use super::person::Person;
use super::refusals::{lost, refused};
use super::remote::{self, Filters, Remote};
use super::show_rows::cell;
use crate::client::Client;
use crate::daemon::Failure;
use crate::notify::CHECK_SYNC;

/// Ask a user's phones to fetch their configuration again, or to reboot
///
/// Kamailio sends a SIP NOTIFY to each contact of the user, and each phone's answer is shown.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd notify alice@acme.example.com
      fetch the configuration again
  usrlocd notify alice@acme.example.com --reboot
  usrlocd notify alice --account acme.example.com --filter user_agent='Yealink SIP-T46S 66.85.0.5' --dry-run
      which phones would be asked

Exit status:
  0 success, 1 no such account or user, or no phone accepted, 2 only some phones accepted,
  64 usage, 69 no daemon, 77 permission

Environment:
  USRLOCD_URL, USRLOCD_TOKEN_FILE as --url and --token-file")]
pub(super) struct Notify {
    /// The user, alone or as USER@REALM
    #[arg(value_parser = remote::user)]
    user: String,
    /// The user's account: its id, or a realm or name that only one account has
    #[arg(short, long, value_parser = remote::account)]
    account: Option<String>,
    /// Restart the phone
    #[arg(long, conflicts_with = "event")]
    reboot: bool,
    /// Ask for another event of the configuration's [notify] events
    #[arg(long, default_value = CHECK_SYNC)]
    event: String,
    #[command(flatten)]
    filters: Filters,
    /// Only print which phones would be asked
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// The format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    remote: Remote,
}

/// How the answers are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// One line for each contact
    Text,
    /// The API's array
    Json,
}

impl Notify {
    pub(super) fn run(self) -> Result<(), Failure> {
        let client = self.remote.client()?;
        remote::run(self.work(&client))
    }

    async fn work(&self, client: &Client) -> Result<(), Failure> {
        // Without a further name, the path is the user's own.
        let person = Person::find(client, &self.user, self.account.as_deref(), "").await?;
        let further: &[_] = if self.dry_run {
            &[("dry_run", "true")]
        } else {
            &[]
        };
        let target = format!("{}?{}", person.path("notify"), self.filters.query(further));
        let answer = client.post(&target, self.body()).await;
        let answer = answer.map_err(|error| lost(client, error))?;
        let is_told = answer.status.is_success()
            || (answer.header("x-notified").is_some()
                && matches!(
                    answer.status,
                    StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT
                ));
        if !is_told {
            return Err(refused(client, answer).await);
        }
        let accepted = answer.header("x-notified").and_then(|it| it.parse().ok());
        let envelope = remote::envelope(client, answer).await?;
        remote::mention_source(&envelope["source"]);
        self.told(&envelope["data"], accepted)
    }

    fn body(&self) -> String {
        let mut data = json!({"event": self.event});
        if self.event == CHECK_SYNC {
            data["reboot"] = self.reboot.into();
        }
        json!({"data": data}).to_string()
    }

    /// Shows what became of each contact; `accepted` says how many did what they were asked for.
    fn told(&self, contacts: &Value, accepted: Option<usize>) -> Result<(), Failure> {
        match self.output {
            Format::Json => print_json(&format!("{contacts:#}\n"))?,
            Format::Text => print(&lines(contacts))?,
        }
        let all = contacts.as_array().map_or(0, Vec::len);
        match accepted {
            // A dry run.
            None => Ok(()),
            Some(_) if all == 0 => Err(Failure::Failed(anyhow!("the user is not registered"))),
            Some(accepted) if accepted == all => Ok(()),
            Some(0) => Err(Failure::Failed(anyhow!("no phone accepted the request"))),
            Some(accepted) => Err(Failure::Partly(anyhow!(
                "{accepted} of {all} phones accepted the request"
            ))),
        }
    }
}

fn lines(contacts: &Value) -> String {
    let mut text = String::new();
    for one in contacts.as_array().into_iter().flatten() {
        let (contact, reason) = (cell(&one["contact"]), cell(&one["reason"]));
        let node = match &one["node"] {
            Value::Null => String::new(),
            node => format!("{}  ", cell(node)),
        };
        let status = match one["status"].as_u64() {
            Some(status) => format!("{status} "),
            None => String::new(),
        };
        let _ = writeln!(text, "{contact}  {node}{status}{reason}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_contact_has_a_line() {
        let contacts = json!([
            {"contact": "sip:a@192.0.2.7", "status": 200, "reason": "OK\u{1b}"},
            {"contact": "sip:a@192.0.2.9", "status": 200, "reason": "OK", "node": "k2"},
            {"contact": "sip:a@192.0.2.8", "status": null, "reason": "no reply within 5 s"},
        ]);
        assert_eq!(
            lines(&contacts),
            "sip:a@192.0.2.7  200 OK\\u{1b}\nsip:a@192.0.2.9  k2  200 OK\nsip:a@192.0.2.8  no reply within 5 s\n"
        );
    }
}

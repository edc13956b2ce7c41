//! `usrlocd watch`: prints changes as they happen.
//!
//! It asks for the number of registrations, which costs the daemon nothing, and for the list only when its revision
//! has changed. After a list it pauses ten times as long as the list took, so that even a large one is a small load.

mod diff;

use std::io::{self, IsTerminal};
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use serde::Serialize;
use serde_json::Value;
use tokio::time::sleep;

use self::diff::{Change, Happened, Seen, Snapshot};
use super::account;
use super::output::{hint, is_coloured, local_time, print_more, print_more_json};
use super::pages::Reach;
use super::redraw::interval;
use super::refusals::stranger;
use super::remote::{self, Filters, Remote};
use crate::client::Client;
use crate::clock::{Clock, SystemClock};
use crate::daemon::Failure;
use crate::terminal::printable;

/// How many times the duration of a list to pause after it.
const REST: u32 = 10;

/// Print registrations as they come and go
///
/// One line per change: registered, moved (the phone registers from another address), expired, unregistered (also by a
/// flush), and with --refreshes refreshed. Ctrl-C stops it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  usrlocd watch
      all registrations
  usrlocd watch acme.example.com --filter username=alice --refreshes
      one user of one account, including refreshes
  usrlocd watch -o ndjson | jq -r 'select(.event == \"expired\") | .username'
      users whose registrations expired

Format:
  On a terminal one line of text per change; otherwise, or with -o ndjson, one
  JSON object per line. Its keys: event (present, registered, moved, refreshed,
  expired, unregistered), time (RFC 3339, when it was noticed), and from the
  registration username, realm, contact, account_name, source_ip, source_port,
  user_agent, ruid, last_registration and expires_at, as in the API. Unknown
  values are absent.

Changes are noticed within the interval. A list of more than ten thousand or so
registrations is fetched less often, so that the daemon spends at most a
tenth of its time on it. What comes and goes in between is not reported. When the
daemon restarts, watch reports that on standard error, waits, and continues;
changes that happened meanwhile are reported then.

Exit status:
  0 the reader of its output has gone away, 1 no such account, 64 usage, 69 no daemon at the
  start, 77 permission, 130 stopped by Ctrl-C")]
pub(super) struct Watch {
    /// Account id, or a realm or name that only one account has [default: all accounts that you may see]
    #[arg(value_parser = remote::account)]
    account: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// Print refreshes too
    #[arg(long)]
    refreshes: bool,
    /// First print those that are already registered
    #[arg(long)]
    initial: bool,
    /// How often to check, for instance 500ms or 10s
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// The format [default: text on a terminal, otherwise ndjson]
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
    #[command(flatten)]
    remote: Remote,
}

/// How changes are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// Lines of text
    #[value(alias("table"), alias("wide"))]
    Text,
    /// One JSON object per line
    #[value(alias("json"))]
    Ndjson,
}

/// What a look found.
#[derive(Debug)]
struct Look {
    revision: String,
    /// The daemon's time.
    now: Timestamp,
    source: Value,
}

/// What was reported on standard error, once, until it changes.
#[derive(Debug, Default)]
struct Complaint(Option<String>);

impl Watch {
    pub(super) fn run(self) -> Result<(), Failure> {
        let client = self.remote.client()?;
        remote::run(self.work(&client))
    }

    async fn work(&self, client: &Client) -> Result<(), Failure> {
        let reach = account::reach(client, self.account.as_deref()).await?;
        let clock = SystemClock::new();
        let mut trouble = Complaint::default();
        let mut known: Option<(String, Snapshot)> = None;
        loop {
            let start = clock.monotonic();
            match self.step(client, &reach, &mut known, &mut trouble).await {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                // A daemon that restarts, or has too much to do, is back soon; at the start there may be none at all.
                Err(failure @ (Failure::Unavailable(_) | Failure::Failed(_)))
                    if known.is_some() =>
                {
                    trouble.tell(Some(format!("{failure}; waiting for it")));
                }
                Err(failure) => return Err(failure),
            }
            let took = clock.monotonic().saturating_sub(start);
            sleep(self.interval.max(took * REST)).await;
            if reader_has_gone() {
                return Ok(());
            }
        }
    }

    /// Looks once and prints what has changed; whether the reader wants more.
    async fn step(
        &self,
        client: &Client,
        reach: &Reach<'_>,
        known: &mut Option<(String, Snapshot)>,
        trouble: &mut Complaint,
    ) -> Result<bool, Failure> {
        let look = self.look(client, reach).await?;
        let state = look.source["state"].as_str().unwrap_or_default();
        trouble.tell(remote::warning(&look.source));
        // A list that is still being compared may lack rows for a moment: nothing of it is printed yet.
        let is_settled = !matches!(state, "catching_up" | "unavailable");
        let is_news = known
            .as_ref()
            .is_none_or(|(last, _)| *last != look.revision);
        if !is_settled || !is_news {
            return Ok(true);
        }
        let later = self.list(reach).await?;
        let more = match known {
            None if self.initial => self.tell(later.present(), look.now)?,
            None => true,
            Some((_, before)) => {
                let changes = before.until(&later, look.now.as_second());
                let wanted =
                    |change: &Change<'_>| self.refreshes || change.happened != Happened::Refreshed;
                self.tell(changes.into_iter().filter(wanted), look.now)?
            }
        };
        *known = Some((look.revision, later));
        Ok(more)
    }

    async fn look(&self, client: &Client, reach: &Reach<'_>) -> Result<Look, Failure> {
        let last = format!("/count?{}", self.filters.query(&[]));
        let mut envelopes = reach.envelopes(&last).await?;
        let text = |envelope: &Value, key: &str| envelope[key].as_str().map(str::to_owned);
        let revisions = envelopes.iter().map(|it| text(it, "revision"));
        let revisions: Option<Vec<String>> = revisions.collect();
        let revision = revisions.ok_or_else(|| stranger(client))?.join(" ");
        let mut last = envelopes.pop().unwrap_or_default();
        let now = text(&last, "timestamp").and_then(|time| time.parse().ok());
        let own = || Timestamp::from_second(SystemClock::new().unix_seconds()).ok();
        Ok(Look {
            revision,
            // Where no account is known yet the daemon's time is unknown.
            now: now.or_else(own).unwrap_or_default(),
            source: last["source"].take(),
        })
    }

    async fn list(&self, reach: &Reach<'_>) -> Result<Snapshot, Failure> {
        let mut pages = reach.pages(&self.filters);
        let mut all = Vec::new();
        while let Some(items) = pages.next_items().await? {
            all.extend(items);
        }
        Ok(Snapshot::of(all))
    }

    /// Prints changes; whether the reader wants more.
    fn tell<'a>(
        &self,
        changes: impl Iterator<Item = Change<'a>>,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let terminal = io::stdout().is_terminal();
        let format = self.output.unwrap_or(if terminal {
            Format::Text
        } else {
            Format::Ndjson
        });
        let mut text = String::new();
        for change in changes {
            match format {
                Format::Text => text.push_str(&sentence(&change, now)),
                Format::Ndjson => text.push_str(&object(&change, now)),
            }
            text.push('\n');
        }
        match format {
            Format::Text => print_more(text.as_bytes()),
            Format::Ndjson => print_more_json(&text),
        }
    }
}

impl Complaint {
    /// Says on standard error what is wrong, where it was not wrong before, and when it is over.
    fn tell(&mut self, now: Option<String>) {
        // A number that counts up is not news.
        let kind = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
        match (&self.0, &now) {
            (Some(before), Some(now)) if kind(before) == kind(now) => {}
            (_, Some(now)) => hint(format_args!("usrlocd: {now}")),
            (Some(_), None) => {
                hint("usrlocd: the daemon answers again, and its answers are current");
            }
            (None, None) => {}
        }
        self.0 = now;
    }
}

/// A change as programs read it.
#[derive(Debug, Serialize)]
struct Line<'a> {
    event: Happened,
    time: String,
    #[serde(flatten)]
    seen: &'a Seen,
}

fn object(change: &Change<'_>, now: Timestamp) -> String {
    let line = Line {
        event: change.happened,
        time: now.to_string(),
        seen: change.seen,
    };
    serde_json::to_string(&line).expect("texts and numbers are JSON")
}

/// A change as a line of text, cut to the terminal.
fn sentence(change: &Change<'_>, now: Timestamp) -> String {
    let seen = change.seen;
    let (word, colour) = match change.happened {
        Happened::Present => ("present", "0"),
        Happened::Registered => ("registered", "32"),
        Happened::Moved => ("moved", "36"),
        Happened::Refreshed => ("refreshed", "0"),
        Happened::Expired => ("expired", "31"),
        Happened::Unregistered => ("unregistered", "33"),
    };
    let time = local_time(now, "%F %T");
    let mut rest = format!("{}@{}  {}", seen.username, seen.realm, seen.contact);
    if let Some(ip) = &seen.source_ip {
        let port = seen.source_port.as_deref().unwrap_or("-");
        let from = if ip.contains(':') {
            format!("  from [{ip}]:{port}")
        } else {
            format!("  from {ip}:{port}")
        };
        rest.push_str(&from);
    }
    if let Some(user_agent) = &seen.user_agent {
        rest.push_str("  ");
        rest.push_str(user_agent);
    }
    let line = format!("{time}  {word:<12}  {}", printable(&rest));
    let line = match terminal_size::terminal_size() {
        Some((width, _)) if io::stdout().is_terminal() => {
            line.chars().take(usize::from(width.0)).collect()
        }
        _ => line,
    };
    if is_coloured() {
        line.replacen(word, &format!("\x1b[{colour}m{word}\x1b[0m"), 1)
    } else {
        line
    }
}

/// Whether nobody reads standard output any more: otherwise a quiet watch would never end.
fn reader_has_gone() -> bool {
    let out = io::stdout();
    let mut asked = [PollFd::new(&out, PollFlags::empty())];
    let ready = poll(
        &mut asked,
        Some(&rustix::time::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        }),
    );
    ready.is_ok()
        && asked[0]
            .revents()
            .intersects(PollFlags::ERR | PollFlags::NVAL)
}

//! `usrlocd watch`: prints changes as they happen.
//!
//! It reads the daemon's stream of changes, and after a break goes on where it was.

mod told;

use std::io::{self, IsTerminal};
use std::time::Duration;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use http::{Method, StatusCode};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use self::told::Told;
use super::account;
use super::output::{hint, is_coloured, local_time, print_more, print_more_json};
use super::redraw::interval;
use super::refusals::{lost, refused, stranger};
use super::remote::{self, Filters, Remote};
use crate::client::{Answer, Client};
use crate::daemon::Failure;
use crate::terminal::printable;

/// The pause before a daemon that has gone is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// How often to look whether anybody still reads what is printed.
const LOOK: Duration = Duration::from_secs(1);

/// The daemon says something every 15 s, even where nothing happens; after this long it is given up.
const SILENCE: Duration = Duration::from_secs(40);

/// Print registrations as they come and go
///
/// One line per change: registered, moved (the phone registers from another address), changed (something else is new,
/// such as the user agent), expired, unregistered (also by a flush) and, with --refreshes, refreshed. Press Ctrl-C to
/// stop.
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
  JSON object per line. Its keys: event (present, registered, moved, changed,
  refreshed, expired, unregistered), time (RFC 3339, when the daemon saw it), id
  (the event's, see the API), reason (why it is no longer registered: expired,
  flushed, replaced, removed or account_changed), and from the registration
  username, realm, contact, account_name, source_ip, source_port, user_agent,
  ruid, last_registration and expires_at, as in the API. Unknown values are
  absent.

Changes are printed within milliseconds. When the daemon restarts, watch reports
that on standard error, waits, and continues with the changes that it missed; if
some are no longer kept, it says so.

Exit status:
  0 the reader of its output has gone away, 1 no such account, 64 usage, 69 no
  daemon at the start, or an older one without a stream of changes, 77
  permission, 130 stopped by Ctrl-C")]
pub(super) struct Watch {
    /// Account id, or a realm or name that only one account has [default: all accounts that you may see]
    #[arg(value_parser = remote::account)]
    account: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// Print refreshes too
    #[arg(long)]
    refreshes: bool,
    /// Print existing registrations first
    #[arg(long)]
    initial: bool,
    /// Of earlier versions, which asked now and then: without effect
    #[arg(long, value_name = "DURATION", value_parser = interval, hide = true)]
    interval: Option<Duration>,
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

/// What was reported on standard error, once, until it changes.
#[derive(Debug, Default)]
struct Complaint(Option<String>);

/// How a stream ended.
enum End {
    /// Nobody reads any more.
    Unread,
    /// The daemon has gone, or said that it would.
    Broken(Failure),
}

impl Watch {
    pub(super) fn run(self) -> Result<(), Failure> {
        let client = self.remote.client()?;
        remote::run(self.work(&client))
    }

    async fn work(&self, client: &Client) -> Result<(), Failure> {
        let reach = account::reach(client, self.account.as_deref()).await?;
        let path = match &reach.paths[..] {
            [only] => only.clone(),
            _ => remote::path(None, None),
        };
        let mut trouble = Complaint::default();
        let mut last = None;
        loop {
            let ended = match self.open(client, &path, last.as_deref()).await {
                Ok(answer) => self.read(client, answer, &mut last, &mut trouble).await?,
                // At the start there may be none at all; later it is back soon.
                Err(failure) if last.is_none() => return Err(failure),
                Err(failure @ (Failure::Unavailable(_) | Failure::Failed(_))) => {
                    End::Broken(failure)
                }
                Err(failure) => return Err(failure),
            };
            match ended {
                End::Unread => return Ok(()),
                End::Broken(failure) => trouble.tell(Some(format!("{failure}; waiting for it"))),
            }
            sleep(AGAIN).await;
            if reader_has_gone() {
                return Ok(());
            }
        }
    }

    /// Opens the stream, after the event with the id `last` if there was one.
    async fn open(
        &self,
        client: &Client,
        path: &str,
        last: Option<&str>,
    ) -> Result<Answer, Failure> {
        let mut events = "registered,moved,changed,terminated,source".to_owned();
        if self.refreshes {
            events.push_str(",refreshed");
        }
        let mut further = vec![("watch", "true"), ("events", &*events)];
        match last {
            Some(last) => further.push(("since", last)),
            None if self.initial => further.push(("initial", "true")),
            None => {}
        }
        let target = format!("{path}?{}", self.filters.query(&further));
        let answer = client.send(Method::GET, &target, &[]).await;
        let answer = answer.map_err(|error| lost(client, error))?;
        if answer.status != StatusCode::OK {
            return Err(refused(client, answer).await);
        }
        if answer.header("content-type") != Some("application/x-ndjson") {
            return Err(Failure::Unavailable(anyhow!(
                "the usrlocd at {} is older and has no stream of changes; update it (this is {})",
                client.address().shown(),
                env!("CARGO_PKG_VERSION"),
            )));
        }
        Ok(answer)
    }

    /// Prints what comes, until nothing more does.
    async fn read(
        &self,
        client: &Client,
        mut answer: Answer,
        last: &mut Option<String>,
        trouble: &mut Complaint,
    ) -> Result<End, Failure> {
        let broken = |why: &str| {
            let shown = client.address().shown();
            End::Broken(Failure::Unavailable(anyhow!("usrlocd at {shown} {why}")))
        };
        let mut text = Vec::new();
        let mut heard = Instant::now();
        loop {
            match timeout(LOOK, answer.piece()).await {
                Err(_) if reader_has_gone() => return Ok(End::Unread),
                Err(_) if heard.elapsed() < SILENCE => continue,
                Err(_) => return Ok(broken("stopped sending")),
                Ok(Err(error)) => return Ok(End::Broken(lost(client, error))),
                Ok(Ok(None)) => return Ok(broken("closed the stream")),
                Ok(Ok(Some(piece))) => text.extend_from_slice(&piece),
            }
            heard = Instant::now();
            let end = text.iter().rposition(|byte| *byte == b'\n');
            let lines: Vec<u8> = text.drain(..end.map_or(0, |end| end + 1)).collect();
            let mut told = Vec::new();
            for line in lines.split(|byte| *byte == b'\n') {
                if line.is_empty() {
                    continue;
                }
                let frame: Value = serde_json::from_slice(line).map_err(|_| stranger(client))?;
                self.note_place(&frame, last);
                told.extend(told_by(client, frame, trouble)?);
            }
            if !self.print(&told)? {
                return Ok(End::Unread);
            }
        }
    }

    /// Notes where to go on after a break: after the event of a frame; where none has come yet, after the newest one when
    /// the stream began.
    fn note_place(&self, frame: &Value, last: &mut Option<String>) {
        let id = frame["id"].as_str();
        let newest = frame["newest"].as_str();
        let newest = newest.filter(|_| last.is_none() && !self.initial);
        if let Some(id) = id.or(newest) {
            *last = Some(id.to_owned());
        }
    }

    /// Prints changes; whether the reader wants more.
    fn print(&self, told: &[Told]) -> Result<bool, Failure> {
        if told.is_empty() {
            return Ok(true);
        }
        let terminal = io::stdout().is_terminal();
        let format = self.output.unwrap_or(if terminal {
            Format::Text
        } else {
            Format::Ndjson
        });
        let mut text = String::new();
        for one in told {
            match format {
                Format::Text => text.push_str(&sentence(one)),
                Format::Ndjson => text.push_str(&one.object()),
            }
            text.push('\n');
        }
        match format {
            Format::Text => print_more(text.as_bytes()),
            Format::Ndjson => print_more_json(&text),
        }
    }
}

/// The change that a frame tells, if it tells one; what it says about the stream goes to standard error.
fn told_by(
    client: &Client,
    frame: Value,
    trouble: &mut Complaint,
) -> Result<Option<Told>, Failure> {
    let denied = |why: &str| Err(Failure::Permission(anyhow!("{why}")));
    match (frame["type"].as_str(), frame["reason"].as_str()) {
        (Some("hello" | "mark" | "source"), _) => trouble.tell(remote::warning(&frame["source"])),
        (Some("gap"), _) => hint(format_args!("usrlocd: {}", told::gap(&frame["cause"]))),
        (Some("bye"), Some("token_revoked")) => {
            return denied("the token has expired or was revoked");
        }
        (Some("bye"), Some("forbidden")) => {
            return denied("the token may no longer see these registrations");
        }
        _ => return Told::of(frame).map_err(|()| stranger(client)),
    }
    Ok(None)
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

/// A change as a line of text, cut to the terminal.
fn sentence(told: &Told) -> String {
    let (word, colour) = told.word();
    let time = local_time(told.time(), "%F %T");
    let line = format!("{time}  {word:<12}  {}", printable(&told.details()));
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

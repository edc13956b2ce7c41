//! `--watch`: redraws an answer periodically, on the terminal's alternate screen.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::output::{is_coloured, local_time};
use super::remote;
use crate::clock::{Clock, SystemClock};
use crate::config::{parse_duration, show_duration};
use crate::daemon::Failure;
use crate::terminal::printable;

/// The default interval.
const INTERVAL: Duration = Duration::from_secs(2);

/// The shortest interval: nobody sees more, and the daemon has other work.
const SHORTEST: Duration = Duration::from_millis(200);

/// The assumed size of a terminal that does not report its own.
const SIZE: (u16, u16) = (80, 24);

/// Lines above the answer.
const HEAD: usize = 2;

/// What a shell shows for a program that Ctrl-C ends, and for one that SIGTERM ends.
const INTERRUPTED: i32 = 130;
const TERMINATED: i32 = 143;

/// Alternate screen, no cursor; and the way back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Whether to redraw periodically.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct Watching {
    /// Redraw every two seconds, on a terminal, until Ctrl-C
    #[arg(short, long)]
    watch: bool,

    /// How often to redraw, for instance 500ms or 10s
    #[arg(long, value_name = "DURATION", requires = "watch", value_parser = interval)]
    interval: Option<Duration>,
}

/// The size of what can be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Canvas {
    /// Columns.
    width: usize,
    /// Lines.
    pub(super) height: usize,
}

/// What is to be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    /// Lines.
    pub(super) text: String,
    /// Why it may not be the present state.
    pub(super) warning: Option<String>,
    /// Whether there is more than `text` has.
    pub(super) more: bool,
}

/// Reads `--interval`.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Some(interval) if interval >= SHORTEST => Ok(interval),
        Some(_) => Err(format!("use at least {}", show_duration(SHORTEST))),
        None => Err("write for instance 500ms, 2s or 1m".to_owned()),
    }
}

impl Watching {
    /// Whether it is asked for.
    pub(super) fn wanted(&self) -> bool {
        self.watch
    }

    /// Refuses what cannot be redrawn.
    pub(super) fn check(&self, is_tabular: bool) -> Result<(), Failure> {
        if !self.watch {
            return Ok(());
        }
        if !io::stdout().is_terminal() {
            return Err(Failure::Usage(anyhow!(
                "--watch needs a terminal; `usrlocd watch` prints changes as lines"
            )));
        }
        if !is_tabular {
            return Err(Failure::Usage(anyhow!(
                "--watch shows tables; omit -o, or use `usrlocd watch` for changes as JSON"
            )));
        }
        Ok(())
    }
}

impl Frame {
    /// The frame of a complete answer; `source` is the daemon's view of Kamailio's tables.
    pub(super) fn of(text: String, source: &Value) -> Self {
        Self {
            text,
            warning: remote::warning(source),
            more: false,
        }
    }
}

/// Shows what `draw` gives until Ctrl-C. The first failure ends it; later the daemon may go and come back.
pub(super) async fn run(
    watching: &Watching,
    draw: impl AsyncFn(Canvas) -> Result<Frame, Failure>,
) -> Result<(), Failure> {
    let every = watching.interval.unwrap_or(INTERVAL);
    let mut interrupted = listen(SignalKind::interrupt())?;
    let mut terminated = listen(SignalKind::terminate())?;
    let mut resized = listen(SignalKind::window_change())?;
    let mut frame = draw(room()).await?;
    let mut trouble = None;
    let mut screen = Screen::enter();
    let status = loop {
        screen.show(&page(&frame, trouble.as_deref(), every, room()));
        let next = async {
            tokio::select! {
                () = sleep(every) => {}
                _ = resized.recv() => {}
            }
            draw(room()).await
        };
        let drawn = tokio::select! {
            _ = interrupted.recv() => break INTERRUPTED,
            _ = terminated.recv() => break TERMINATED,
            drawn = next => drawn,
        };
        match drawn {
            Ok(drawn) => (frame, trouble) = (drawn, None),
            Err(failure @ (Failure::Unavailable(_) | Failure::Failed(_))) => {
                trouble = Some(failure.to_string());
            }
            Err(failure) => return Err(failure),
        }
    };
    drop(screen);
    // The signal is ours since we listen to it; its status is what the shell would have shown.
    std::process::exit(status)
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind)
        .context("listen to signals")
        .map_err(Failure::System)
}

/// What the terminal has room for now.
fn room() -> Canvas {
    let size = terminal_size::terminal_size();
    let (width, height) = size.map_or(SIZE, |(width, height)| (width.0, height.0));
    Canvas {
        width: usize::from(width),
        height: usize::from(height).saturating_sub(HEAD).max(1),
    }
}

/// The lines of the whole screen.
fn page(frame: &Frame, trouble: Option<&str>, every: Duration, room: Canvas) -> Vec<String> {
    let time = SystemClock::new().unix_seconds();
    let time = Timestamp::from_second(time).unwrap_or_default();
    let mut head = format!(
        "{}  every {}, Ctrl-C to stop",
        local_time(time, "%H:%M:%S"),
        show_duration(every)
    );
    for warning in trouble.into_iter().chain(frame.warning.as_deref()) {
        head.push_str("  ");
        head.push_str(&printable(warning));
    }
    let head: String = head.chars().take(room.width).collect();
    let head = if is_coloured() {
        format!("\x1b[7m{head}\x1b[0m")
    } else {
        head
    };
    let lines = frame.text.lines().map(str::to_owned);
    let mut page: Vec<String> = [head, String::new()].into_iter().chain(lines).collect();
    let bottom = room.height + HEAD;
    if page.len() > bottom || frame.more {
        page.truncate(bottom - 1);
        page.push("… more rows; use a filter or a larger window".to_owned());
    }
    page
}

/// The terminal's other screen; the former one is back when it ends.
#[derive(Debug)]
struct Screen {
    out: io::Stdout,
}

impl Screen {
    fn enter() -> Self {
        let mut screen = Self { out: io::stdout() };
        screen.put(ENTER);
        screen
    }

    /// Writes over what is there, in one piece, so that nothing flickers.
    fn show(&mut self, lines: &[String]) {
        let mut text = String::from("\x1b[?2026h\x1b[H");
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                text.push_str("\r\n");
            }
            text.push_str(line);
            text.push_str("\x1b[K");
        }
        text.push_str("\x1b[J\x1b[?2026l");
        self.put(&text);
    }

    /// A terminal that is gone takes nothing, and its end ends us by SIGHUP.
    fn put(&mut self, text: &str) {
        let written = self.out.write_all(text.as_bytes());
        written.and_then(|()| self.out.flush()).ok();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.put(LEAVE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_fits_the_terminal_and_says_that_there_is_more() {
        let room = Canvas {
            width: 30,
            height: 3,
        };
        let mut frame = Frame {
            text: "a\nb\nc\n".to_owned(),
            warning: None,
            more: false,
        };
        let whole = page(&frame, None, INTERVAL, room);
        assert_eq!(whole[1..], ["", "a", "b", "c"]);
        frame.text.push_str("d\n");
        frame.warning = Some("stale\u{1b}[2J".to_owned());
        let cut = page(&frame, Some("no usrlocd runs"), INTERVAL, room);
        assert_eq!(cut.len(), 5);
        assert!(cut[4].starts_with('…'), "{cut:?}");
        assert!(!cut[0].contains('\u{1b}') && cut[0].chars().count() <= 30);
    }

    #[test]
    fn an_interval_has_a_unit_and_is_not_too_short() {
        assert_eq!(interval("2s"), Ok(INTERVAL));
        assert!(interval("2").is_err());
        assert!(interval("100ms").is_err());
    }
}

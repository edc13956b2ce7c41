//! What a running usrlocd takes over: on SIGHUP all or nothing, and by itself each file that changes.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::oracle::PATIENCE;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::{eventually, holds};

const ALL: &str = "/v2/registrations";

/// Kazoo's key, as an operator exports it.
const PEM: &str = include_str!("../src/http/tests/keys/public.pem");

/// Its private half, which has no business here.
const PRIVATE_PEM: &str = include_str!("../src/http/tests/keys/private_for_tests_only.pem");

struct Site {
    daemon: Daemon,
    _kamailio: Kamailio,
}

impl Site {
    /// A usrlocd with a directory of one account and a key of Kazoo's.
    fn new() -> Self {
        let kamailio = Kamailio::builder().start();
        let mut daemon = Daemon::builder(&kamailio).prepare();
        let site = |daemon: &Daemon| {
            let config = daemon.config_file();
            let text = fs::read_to_string(&config).expect("it is there");
            let (directory, pem) = (daemon.file("directory.json"), daemon.file("kazoo.pem"));
            let more = format!(
                "[directory]\nfile = \"{}\"\n[auth.jwt]\nkeys = [{{ kid = \"k1\", pem_file = \"{}\" }}]\n",
                directory.display(),
                pem.display()
            );
            fs::write(config, format!("{text}\n{more}")).expect("ours");
            fs::write(directory, accounts(&["a"])).expect("ours");
            fs::write(pem, PEM).expect("ours");
        };
        site(&daemon);
        daemon.start();
        Self {
            daemon,
            _kamailio: kamailio,
        }
    }

    fn directory(&self) -> PathBuf {
        self.daemon.file("directory.json")
    }

    fn configure(&self, more: &str) {
        let file = self.daemon.config_file();
        let text = fs::read_to_string(&file).expect("it is there");
        replace(file, &format!("{text}\n{more}"));
    }

    fn hangup(&self) {
        self.daemon.signal(Signal::HUP);
    }

    /// The lines with this in them, of those that came with the start and since.
    fn lines(&self, part: &str) -> Vec<String> {
        let log = self.daemon.log();
        let lines = log.lines().filter(|line| line.contains(part));
        lines.map(str::to_owned).collect()
    }

    /// The last of `number` lines with this in them, which is as many as there may be.
    #[track_caller]
    fn line(&self, part: &str, number: usize) -> String {
        let lines = eventually("it is said", PATIENCE, || {
            let lines = self.lines(part);
            if lines.len() >= number {
                Ok(lines)
            } else {
                Err(format!("no {part} in\n{}", self.daemon.log()))
            }
        });
        assert_eq!(lines.len(), number, "{lines:?}");
        lines.last().expect("there is one at least").clone()
    }

    fn status(&self, token: &str) -> u16 {
        let header = [("X-Auth-Token", token)];
        self.daemon.request("GET", ALL, &header, b"").status
    }
}

/// Puts a new file in the place of the old one, as an editor does.
fn replace(file: PathBuf, text: &str) {
    let beside = file.with_extension("new");
    fs::write(&beside, text).expect("ours");
    fs::rename(beside, file).expect("ours");
}

fn accounts(ids: &[&str]) -> String {
    let accounts = ids.iter().map(|id| format!("{{\"id\": \"{id}\"}}"));
    let accounts: Vec<String> = accounts.collect();
    format!("{{\"accounts\": [{}]}}", accounts.join(", "))
}

#[test]
fn hangup_says_in_one_line_what_changed() {
    let site = Site::new();
    site.hangup();
    let line = site.line("reloaded", 1);
    assert!(
        line.ends_with("INFO usrlocd::daemon::reload: reloaded; nothing changed"),
        "{line}"
    );

    let daemon = &site.daemon;
    let text = fs::read_to_string(daemon.config_file()).expect("it is there");
    let port = daemon.address().port();
    let other = text.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:1");
    assert_ne!(text, other);
    replace(
        daemon.config_file(),
        &format!(
            "{other}\n[limits]\nrequests = {{ burst = 7, per_second = 1 }}\n[log]\nlevel = \"debug\"\n"
        ),
    );
    let line = site.line("reloaded:", 1);
    let parts = [
        "limits.requests { burst = 2000, per_second = 1000 } -> { burst = 7, per_second = 1 }",
        "log.level \"info\" -> \"debug\"",
        "http.listen [\"127.0.0.1:",
        "-> [\"127.0.0.1:1\"] (needs a restart)",
    ];
    for part in parts {
        assert!(line.contains(part), "no {part} in {line}");
    }
    eventually("the new limits hold", PATIENCE, || {
        let status = site.status(Daemon::TOKEN);
        holds(status == 429, || status.to_string())
    });
    // What waits for a restart is said again to whoever asks.
    site.hangup();
    let line = site.line("reloaded:", 2);
    assert!(line.contains("(needs a restart)"), "{line}");
    assert!(!line.contains("limits"), "{line}");
}

#[test]
fn bounds_of_connections_and_bodies_are_taken_over() {
    let site = Site::new();
    site.configure("[limits]\nconnections = 1\nbody_bytes = 10\n");
    let line = site.line("reloaded:", 1);
    for part in [
        "limits.connections 1024 -> 1",
        "limits.body_bytes 131072 -> 10",
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    assert!(!line.contains("restart"), "{line}");
    let token = [("X-Auth-Token", Daemon::TOKEN)];
    let body = b"{\"verb\": \"delete\"}";
    eventually("the body is too large", PATIENCE, || {
        let status = site.daemon.request("POST", ALL, &token, body).status;
        holds(status == 400, || status.to_string())
    });
    // Answered, and kept open: the only connection is taken. One that came before may take a moment to end.
    let first = eventually("there is a connection", PATIENCE, || {
        let mut stream = TcpStream::connect(site.daemon.address()).expect("it listens");
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .expect("it reads");
        let mut line = [0; 12];
        stream.read_exact(&mut line).expect("it answers");
        let line = String::from_utf8_lossy(&line);
        if line == "HTTP/1.1 200" {
            Ok(stream)
        } else {
            Err(line.into_owned())
        }
    });
    assert_eq!(site.status(Daemon::TOKEN), 503);
    drop(first);
    eventually("there is room again", PATIENCE, || {
        let status = site.status(Daemon::TOKEN);
        holds(status == 200, || status.to_string())
    });
}

#[test]
fn watched_files_say_what_changed() {
    let site = Site::new();
    site.daemon
        .replace_tokens(&[("lab", Daemon::TOKEN), ("second", "second-token")]);
    let line = site.line("reloaded", 1);
    assert!(line.ends_with("reloaded: tokens added second"), "{line}");
    assert_eq!(site.status("second-token"), 200);

    site.daemon
        .replace_tokens(&[("lab", Daemon::TOKEN), ("second", "other-token")]);
    let line = site.line("reloaded", 2);
    assert!(line.ends_with("reloaded: tokens changed second"), "{line}");

    replace(site.directory(), &accounts(&["a", "b", "c"]));
    let line = site.line("reloaded", 3);
    let expected = "reloaded: directory accounts 1 -> 3, devices 0 -> 0";
    assert!(line.ends_with(expected), "{line}");

    replace(site.daemon.file("kazoo.pem"), &format!("{PEM}\n"));
    let line = site.line("reloaded", 4);
    assert!(
        line.ends_with("reloaded: keys of JWTs changed k1"),
        "{line}"
    );
    assert_eq!(site.lines("ERROR"), [""; 0]);
}

#[test]
fn hangup_takes_over_all_or_nothing() {
    let site = Site::new();
    site.configure("[log]\nlevel = \"loud\"\n[limits]\nrequests = { burst = 1, per_second = 1 }\n");
    let line = site.line("ERROR", 1);
    assert!(
        line.contains("cannot reload the configuration") && line.contains("loud"),
        "{line}"
    );

    replace(site.directory(), "{\n\"accounts\": 7}");
    site.line("ERROR", 2);
    site.hangup();
    let line = site.line("ERROR", 3);
    for part in [
        "reload failed; keeping the current configuration",
        "usrlocd.toml:",
        "loud",
        "directory.json:2:13: ",
    ] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    for _ in 0..5 {
        assert_eq!(site.status(Daemon::TOKEN), 200, "the old limits hold");
    }
    replace(site.directory(), &accounts(&["a", "b"]));
    let line = site.line("reloaded:", 1);
    assert!(
        line.contains("the directory is valid again; directory accounts 1 -> 2"),
        "{line}"
    );
}

/// A revoked token is refused, whatever else is broken.
#[test]
fn bad_file_is_reported_once_and_holds_up_no_other() {
    let site = Site::new();
    replace(site.directory(), "{");
    let line = site.line("ERROR", 1);
    assert!(line.contains("directory.json:1:1: "), "{line}");
    replace(site.daemon.file("kazoo.pem"), PRIVATE_PEM);
    let line = site.line("ERROR", 2);
    assert!(
        line.contains("kazoo.pem:1:1: this is a private key"),
        "{line}"
    );

    site.daemon.replace_tokens(&[("other", "other-token")]);
    let line = site.line("reloaded:", 1);
    assert!(
        line.ends_with("reloaded: tokens added other, removed lab"),
        "{line}"
    );
    assert_eq!(site.status(Daemon::TOKEN), 401);
    assert_eq!(site.status("other-token"), 200);
    assert_eq!(site.lines("ERROR").len(), 2, "{}", site.daemon.log());

    replace(site.directory(), &accounts(&["a"]));
    let line = site.line("reloaded:", 2);
    assert!(
        line.ends_with("reloaded: the directory is valid again"),
        "{line}"
    );
    replace(site.daemon.file("kazoo.pem"), PEM);
    let line = site.line("reloaded:", 3);
    assert!(
        line.ends_with("reloaded: the key of JWTs is valid again"),
        "{line}"
    );
    assert_eq!(site.lines("ERROR").len(), 2, "{}", site.daemon.log());
}

/// The files that the new configuration names are watched from then on.
#[test]
fn another_file_is_watched_as_well() {
    let site = Site::new();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let other = folder.path().join("tokens.toml");
    let stanza = fs::read_to_string(site.daemon.tokens_file()).expect("it is there");
    fs::write(&other, &stanza).expect("ours");
    let file = site.daemon.config_file();
    let text = fs::read_to_string(&file).expect("it is there");
    let old = site.daemon.tokens_file().display().to_string();
    replace(file, &text.replace(&old, &other.display().to_string()));
    let line = site.line("reloaded:", 1);
    assert!(line.contains("auth.tokens_file \""), "{line}");
    replace(
        other,
        &stanza.replace("name = \"lab\"", "name = \"renamed\""),
    );
    let line = site.line("reloaded:", 2);
    assert!(
        line.ends_with("tokens added renamed, removed lab"),
        "{line}"
    );
}

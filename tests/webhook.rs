//! Webhooks as an operator sets them up: `check-config`, `webhook test`, and phones that come and go, with real receivers.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc;

use rustix::process::Signal;
use serde_json::Value;
use standardwebhooks::Webhook;
use tempfile::TempDir;

use crate::oracle::PATIENCE;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds, tools};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A request: its headers and its body.
type Got = (http::HeaderMap, Vec<u8>);

/// A receiver of webhooks: a real server, whose requests come out here.
struct Receiver {
    address: SocketAddr,
    got: mpsc::Receiver<Got>,
}

impl Receiver {
    /// One that gives these answers, and then 200.
    fn start(answers: &[&'static str]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let mut answers: VecDeque<_> = answers.iter().copied().collect();
        let (sender, got) = mpsc::channel();
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                let mut reader = BufReader::new(stream);
                while let Some(request) = request(&mut reader) {
                    let answer = answers.pop_front().unwrap_or("200 OK");
                    // The test may be over.
                    let _ = sender.send(request);
                    let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
                    if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                        break;
                    }
                }
            }
        });
        Self { address, got }
    }

    #[track_caller]
    fn next(&self) -> Got {
        self.got.recv_timeout(PATIENCE).expect("a request")
    }

    /// The next request: the number, the type and the cause or reason of its event.
    #[track_caller]
    fn event(&self) -> (u64, String, String) {
        let (headers, body) = self.next();
        let independent = Webhook::new(SECRET).expect("a secret");
        independent
            .verify(&body, &headers)
            .expect("a good signature");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (_, seq) = body["id"]
            .as_str()
            .and_then(|id| id.split_once('-'))
            .expect("an id");
        let data = &body["data"];
        let why = text(&data["reason"]) + &text(&data["cause"]);
        (seq.parse().expect("a number"), text(&data["type"]), why)
    }
}

/// The next request on a connection, if it does not end.
fn request(reader: &mut BufReader<TcpStream>) -> Option<Got> {
    let mut headers = http::HeaderMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) => {
                let name = http::HeaderName::try_from(name).expect("a name");
                headers.insert(name, value.parse().expect("a value"));
            }
            None if line.starts_with("POST ") => {}
            None => break,
        }
    }
    let length = headers["content-length"].to_str().expect("a number");
    let mut body = vec![0; length.parse().expect("a number")];
    reader.read_exact(&mut body).ok()?;
    Some((headers, body))
}

/// A folder with a configuration of one webhook, `crm`.
fn configured(url: &str, more: &str) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let secret = folder.path().join("secret");
    fs::write(&secret, SECRET).expect("ours");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("ours");
    let text = format!(
        "[auth]\ntokens_file = \"\"\n[[webhook]]\nname = \"crm\"\nurl = \"{url}\"\nsecret_file = \"{}\"\n{more}\n",
        secret.display()
    );
    fs::write(folder.path().join("c.toml"), text).expect("ours");
    folder
}

fn usrlocd(folder: &Path, verb: &[&str]) -> Output {
    Command::new(tools::usrlocd())
        .args(verb)
        .arg("--config")
        .arg(folder.join("c.toml"))
        .output()
        .expect("it runs")
}

/// What it printed, which never has a secret in it.
fn printed(output: &Output) -> String {
    let text = [&*output.stdout, &*output.stderr].concat();
    let text = String::from_utf8(text).expect("text");
    for secret in [&SECRET[6..], "hidden"] {
        assert!(!text.contains(secret), "{text}");
    }
    text
}

const TEST: [&str; 3] = ["webhook", "test", "crm"];

#[test]
fn a_test_is_one_signed_event() {
    let receiver = Receiver::start(&["204 No Content"]);
    let address = receiver.address;
    let folder = configured(
        &format!("http://{address}/x?key=hidden"),
        "allow_private = true",
    );
    let output = usrlocd(folder.path(), &TEST);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains(&format!("http://{address}: the receiver answered 204")),
        "{text}"
    );
    let (headers, body) = receiver.next();
    let independent = Webhook::new(SECRET).expect("a secret");
    independent
        .verify(&body, &headers)
        .expect("a good signature");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["type"], "org.usrlocd.test.v1");
    assert_eq!(body["id"], headers["webhook-id"].to_str().expect("text"));
}

#[test]
fn whatever_is_not_2xx_fails_the_test() {
    for answer in ["500 Oops", "302 Found", "410 Gone"] {
        let receiver = Receiver::start(&[answer]);
        let address = receiver.address;
        let folder = configured(&format!("http://{address}/hidden"), "allow_private = true");
        let output = usrlocd(folder.path(), &TEST);
        let text = printed(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(&answer[..3]), "{text}");
        receiver.next();
    }
    let folder = configured("http://127.0.0.1:9/hidden", "");
    let output = usrlocd(folder.path(), &TEST);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("allow_private"), "{text}");
    let output = usrlocd(folder.path(), &["webhook", "test", "cmr"]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("did you mean crm?"), "{text}");
}

#[test]
fn check_config_says_what_will_not_be_sent() {
    let check = |folder: &TempDir| {
        let output = usrlocd(folder.path(), &["check-config"]);
        (output.status.code(), printed(&output))
    };
    let folder = configured("https://localhost/hidden", "");
    let (status, text) = check(&folder);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("webhook crm: nothing will be sent"), "{text}");
    let allowed = configured("https://localhost/hidden", "allow_private = true");
    assert!(
        !check(&allowed).1.contains("webhook"),
        "{}",
        check(&allowed).1
    );
    fs::remove_file(folder.path().join("secret")).expect("it is there");
    let (status, text) = check(&folder);
    assert_eq!(status, Some(78), "{text}");
    assert!(text.contains("secret: "), "{text}");
    let shown = usrlocd(allowed.path(), &["check-config", "--print"]);
    let shown = printed(&shown);
    assert!(shown.contains("url = \"https://localhost/…\""), "{shown}");
}

/// The stanza of a webhook for phones that come and go.
fn stanza(name: &str, address: SocketAddr, secret: &Path) -> String {
    format!(
        "\n[[webhook]]\nname = \"{name}\"\nurl = \"http://{address}/hidden?key=hidden\"\nsecret_file = \"{}\"\nallow_private = true\nevents = [\"registered\", \"terminated\"]\n",
        secret.display()
    )
}

/// Takes events until a new one of this type comes.
#[track_caller]
fn until(receiver: &Receiver, events: &mut Vec<(u64, String, String)>, kind: &str) {
    loop {
        let event = receiver.event();
        let is_it = event.1 == kind && !events.contains(&event);
        events.push(event);
        if is_it {
            return;
        }
    }
}

#[test]
fn phones_that_come_and_go_are_told_in_order() {
    let receiver = Receiver::start(&["503 Not now"]);
    let kamailio = Kamailio::builder().start();
    let folder = configured("http://127.0.0.1/", "");
    let secret = folder.path().join("secret");
    let crm = stanza("crm", receiver.address, &secret);
    let mut daemon = Daemon::builder(&kamailio).sections(&crm).start();
    let mut alice = Phone::new(&kamailio, "alice", "acme.example.com");
    alice.register();
    let mut events = Vec::new();
    until(&receiver, &mut events, "registered");
    assert_eq!(events[0], receiver.event(), "again after the 503");
    alice.unregister();
    until(&receiver, &mut events, "terminated");

    // What happens while usrlocd is away, by a kill, is told as well.
    daemon.kill9();
    alice.register();
    daemon.start();
    until(&receiver, &mut events, "registered");
    let mut newest = 0;
    for (at, event) in events.iter().enumerate() {
        let is_again = events[..at].contains(event);
        assert!(event.0 > newest || is_again, "{event:?} in {events:?}");
        newest = newest.max(event.0);
    }
    let distinct: BTreeSet<u64> = events.iter().map(|event| event.0).collect();
    let numbers: Vec<u64> = distinct.into_iter().collect();
    let kinds = numbers.iter().filter_map(|seq| {
        let (_, kind, reason) = events.iter().find(|event| event.0 == *seq)?;
        (kind != "gap").then(|| format!("{kind} {reason}"))
    });
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        ["registered ", "terminated removed", "registered "]
    );

    // A reload adds a second one, which begins now.
    let other = Receiver::start(&[]);
    let config = daemon.config_file();
    let text = fs::read_to_string(&config).expect("it is there");
    fs::write(&config, text + &stanza("other", other.address, &secret)).expect("ours");
    daemon.signal(Signal::HUP);
    eventually("it is taken over", PATIENCE, || {
        let has_it = daemon.log().contains("webhooks added other");
        let runs = daemon.request("GET", "/metrics", &[], b"").text();
        let runs = runs.contains("usrlocd_webhook_off{hook=\"other\"} 0");
        holds(has_it && runs, || daemon.log())
    });
    alice.unregister();
    until(&receiver, &mut events, "terminated");
    let (_, kind, reason) = other.event();
    assert_eq!((&*kind, &*reason), ("terminated", "removed"));
    let log = daemon.log();
    assert!(log.contains("webhook not delivered"), "{log}");
    for secret in [&SECRET[6..], "hidden"] {
        assert!(!log.contains(secret), "{log}");
    }
}

/// With the history go the cursors: the hook is told that events are missing, and what happens from then on.
#[test]
fn a_history_that_was_deleted_is_a_gap() {
    let receiver = Receiver::start(&[]);
    let kamailio = Kamailio::builder().start();
    let folder = configured("http://127.0.0.1/", "");
    let crm = stanza("crm", receiver.address, &folder.path().join("secret"));
    let mut daemon = Daemon::builder(&kamailio).sections(&crm).start();
    let mut alice = Phone::new(&kamailio, "alice", "acme.example.com");
    alice.register();
    let first = receiver.event();
    assert_eq!(first.1, "registered", "and no gap at the very first start");
    daemon.stop();
    for side in ["", "-wal", "-shm"] {
        let file = daemon.store().with_file_name(format!("history.db{side}"));
        assert!(fs::remove_file(file).is_ok() || !side.is_empty());
    }
    daemon.start();
    let (_, kind, cause) = receiver.event();
    assert_eq!((&*kind, &*cause), ("gap", "other_log"));
    let mut bob = Phone::new(&kamailio, "bob", "acme.example.com");
    bob.register();
    let mut events = Vec::new();
    until(&receiver, &mut events, "registered");
    // Who has a cursor again is told no second time.
    daemon.stop();
    daemon.start();
    bob.unregister();
    until(&receiver, &mut events, "terminated");
    let gaps: Vec<_> = events.iter().filter(|event| event.1 == "gap").collect();
    assert!(gaps.iter().all(|gap| gap.2 == "restored"), "{events:?}");
}

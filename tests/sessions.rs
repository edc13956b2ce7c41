//! The page of the real daemon, beside a real Kamailio: a session that outlives it, and ends with its token; the audit and
//! the examination that it shows.

use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::http::{self, Response};
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::stream::{Stream, type_of};
use crate::support::{eventually, holds};

const PATIENCE: Duration = Duration::from_secs(20);

/// How soon a revocation is to be felt.
const SOON: Duration = Duration::from_secs(5);

const READER: &str = "reader-token-0123456789abcdef";

/// Logs in; the cookie as a browser sends it.
fn log_in(daemon: &Daemon, token: &str) -> String {
    let body = format!(r#"{{"data": {{"auth_token": "{token}"}}}}"#);
    let answer = daemon.request("POST", "/ui/session", &[], body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let cookie = answer.header("Set-Cookie").expect("a cookie is set");
    cookie.split(';').next().expect("it has a value").to_owned()
}

fn ask(daemon: &Daemon, method: &str, path: &str, cookie: &str) -> Response {
    let origin = format!("http://{}", daemon.address());
    let headers = [
        ("Cookie", cookie),
        ("Origin", &origin),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    daemon.request(method, path, &headers, b"")
}

fn data(daemon: &Daemon, what: &str, cookie: &str) -> Value {
    let answer = ask(daemon, "GET", &format!("/ui/data/{what}"), cookie);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["data"].clone()
}

#[test]
fn a_session_outlives_the_daemon_and_ends_with_its_token() {
    let kamailio = Kamailio::builder().start();
    let mut daemon = Daemon::builder(&kamailio)
        .sections("[log]\nlevel = \"trace\"\n")
        .start();
    let page = daemon.request("GET", "/ui/", &[], b"");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("<html"), "{}", page.text());
    let (cookie, out) = (
        log_in(&daemon, Daemon::TOKEN),
        log_in(&daemon, Daemon::TOKEN),
    );
    assert!(cookie.starts_with("usrlocd-session-"));
    assert_eq!(ask(&daemon, "DELETE", "/ui/session", &out).status, 204);
    daemon.kill9();
    daemon.start();
    assert_eq!(data(&daemon, "session", &cookie)["name"], "lab");
    assert_eq!(ask(&daemon, "GET", "/ui/data/session", &out).status, 401);
    let store = std::fs::read(daemon.store()).expect("it is ours");
    let value = cookie.split('=').nth(1).expect("it has a value").as_bytes();
    assert!(!store.windows(value.len()).any(|part| part == value));
    let value = String::from_utf8_lossy(value);
    let log = daemon.log();
    assert!(log.contains("TRACE"), "it has not told all");
    assert!(!log.contains(&*value) && !log.contains(Daemon::TOKEN));

    let mut stream = Stream::with(
        &daemon,
        "/v2/registrations?watch=true",
        &[("Cookie", &cookie)],
    );
    assert_eq!(type_of(&stream.next()), "hello");
    daemon.replace_tokens(&[("lab", "another-token-0123456789")]);
    eventually("the session is over", SOON, || {
        let status = ask(&daemon, "GET", "/ui/data/session", &cookie).status;
        holds(status == 401, || status.to_string())
    });
    let bye = stream.next_of("bye");
    assert_eq!(bye["reason"], "token_revoked");
}

#[test]
fn the_page_shows_flushes_and_what_doctor_says() {
    let kamailio = Kamailio::builder().start();
    let acme = Account::new("ac", "Acme", "acme.example.com");
    let mut bob = Phone::of(&kamailio, &acme.device("bob", 1));
    bob.register();
    let daemon = Daemon::builder(&kamailio)
        .token("reader", READER, &["other"], &["read"])
        .start();
    let cookie = log_in(&daemon, Daemon::TOKEN);
    eventually("the phone is listed", PATIENCE, || {
        let total = data(&daemon, "overview", &cookie)["total"].clone();
        holds(total == 1, || total.to_string())
    });
    let list = format!("/v2/accounts/{}/registrations", acme.id);
    let flushed = ask(&daemon, "DELETE", &list, &cookie);
    assert_eq!(flushed.status, 200, "{}", flushed.text());
    let audit = data(&daemon, "flushes", &cookie);
    assert_eq!(audit[0]["actor"], "lab");
    assert_eq!(audit[0]["account_id"], acme.id);
    assert_eq!(audit[0]["flushed"], 1);
    assert_eq!(audit[0]["outcome"], "flushed");

    let health = data(&daemon, "health", &cookie);
    let findings = health["findings"].as_array().expect("a list");
    let state = |name: &str| {
        let found = findings.iter().find(|finding| finding["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}: {health}"))["state"].clone()
    };
    // What the daemon itself is asked by the examination, it can answer.
    assert_eq!(state("daemon"), "ok");
    assert_eq!(state("store"), "ok");
    assert_eq!(state("tokens"), "ok");
    let bad: Vec<_> = findings
        .iter()
        .filter(|it| it["state"] == "error")
        .collect();
    assert!(bad.is_empty(), "{bad:?}");

    let reader = log_in(&daemon, READER);
    assert_eq!(data(&daemon, "flushes", &reader), serde_json::json!([]));
    let theirs = data(&daemon, "health", &reader);
    assert_eq!(theirs["details"], false);
    assert!(theirs["findings"][0].get("text").is_none(), "{theirs}");
    assert_eq!(ask(&daemon, "GET", &list, &reader).status, 403);
}

/// As `ssh -L 8000:/run/usrlocd/usrlocd.sock HOST` brings it to a browser.
#[test]
fn over_the_socket_nobody_logs_in() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let get = |path: &str| {
        let mut stream = UnixStream::connect(daemon.socket()).expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost:8000\r\n\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).expect("it reads");
        http::read_response(BufReader::new(stream), "GET").expect("it answers")
    };
    assert_eq!(get("/ui/").status, 200);
    let session = get("/ui/data/session").json();
    assert_eq!(session["data"]["via"], "socket");
    assert_eq!(session["data"]["all_accounts"], true);

    let told = daemon.command("ui").output().expect("usrlocd can be run");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let address = format!("http://{}/ui/\n", daemon.address());
    assert!(told.starts_with(&address), "{told}");
    let socket = daemon.socket().display().to_string();
    assert!(told.contains(&format!("ssh -L 8000:{socket} ")), "{told}");
}

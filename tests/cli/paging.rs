//! Lists of more than one page, and readers that have seen enough.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{err, out};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::{eventually, holds};

const ROWS: usize = 2500;

fn crowd() -> (Kamailio, Daemon) {
    let mut kamailio = Kamailio::builder().start();
    kamailio.stop();
    kamailio.sql(&format!(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < {ROWS}) \
         insert into location (ruid, username, domain, contact, expires, last_modified) \
         select 'r' || i, 'u' || i, 'acme.example.com', 'sip:u' || i || '@192.0.2.1', julianday('now') + 1, \
         julianday('now') from n"
    ));
    let daemon = Daemon::builder(&kamailio).start();
    (kamailio, daemon)
}

fn run(mut command: Command, args: &[&str]) -> std::process::Output {
    let output = command.args(args).output();
    output.expect("usrlocd can be run")
}

#[test]
fn every_page_is_printed_once() {
    let (_kamailio, daemon) = crowd();
    let list = |args: &[&str]| {
        let output = run(daemon.command("list"), args);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        out(&output)
    };
    let ndjson = list(&["-o", "ndjson"]);
    let users: BTreeSet<String> = ndjson
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line is an object"))
        .map(|item| item["username"].to_string())
        .collect();
    assert_eq!((ndjson.lines().count(), users.len()), (ROWS, ROWS));
    let json: Value = serde_json::from_str(&list(&["-o", "json"])).expect("it is JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(ROWS));
    assert_eq!(list(&["-o", "csv"]).lines().count(), ROWS + 1);
    let sorted = list(&[
        "--columns",
        "username",
        "--sort",
        "-username",
        "--no-headers",
    ]);
    assert_eq!(sorted.lines().next(), Some("u999"));
    assert_eq!(sorted.lines().count(), ROWS);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (_kamailio, daemon) = crowd();
    for (verb, args) in [
        ("list", &["-o", "ndjson"][..]),
        ("list", &["-o", "csv"]),
        ("list", &["-o", "wide"]),
        ("watch", &["--initial"]),
    ] {
        let mut child = daemon
            .command(verb)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("usrlocd can be run");
        let mut first = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        stdout.read_line(&mut first).expect("it can be read");
        drop(stdout);
        eventually("it ends", Duration::from_secs(20), || {
            let ended = child.try_wait().expect("it is ours");
            holds(ended.is_some(), || format!("{verb} goes on"))
        });
        let output = child.wait_with_output().expect("it ended");
        assert_eq!(output.status.code(), Some(0), "{verb} {args:?}");
        assert_eq!(err(&output), "", "{verb} {args:?}");
    }
}

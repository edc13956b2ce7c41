//! What stands in the way, in words and as an exit status.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Stdio};
use std::thread;

use rustix::process::{Signal, geteuid};
use serde_json::Value;

use super::{ID, OWN_TOKEN, ends, err, lab, lab_with, out};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::{eventually, holds, tools};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn refusals_have_words_and_a_status() {
    let mut lab = lab();
    let url = format!("http://{}", lab.daemon.address());
    let good = lab.daemon.file("good");
    let own = lab.daemon.file("own");
    let bad = lab.daemon.file("bad");
    for (file, token) in [(&good, Daemon::TOKEN), (&own, OWN_TOKEN), (&bad, "wrong")] {
        std::fs::write(file, format!("{token}\n")).expect("it is ours");
    }
    let by_url = |verb: &[&str], file: Option<&std::path::PathBuf>| {
        let mut command = Command::new(tools::usrlocd());
        command
            .args(verb)
            .args(["--url", &url])
            .stdin(Stdio::null());
        command.env_remove("USRLOCD_TOKEN_FILE");
        if let Some(file) = file {
            command.env("USRLOCD_TOKEN_FILE", file);
        }
        command.output().expect("usrlocd can be run")
    };
    assert_eq!(out(&by_url(&["count"], Some(&good))), "2\n");
    assert_eq!(out(&by_url(&["list"], Some(&own))).lines().count(), 2);
    assert_eq!(out(&by_url(&["count"], Some(&own))), "2\n");
    let accounts = out(&by_url(&["accounts"], Some(&own)));
    assert!(
        accounts.contains(ID) && accounts.contains(":2"),
        "{accounts}"
    );
    ends(&by_url(&["count"], None), 77, "--token-file");
    ends(&by_url(&["count"], Some(&bad)), 77, "not valid");
    ends(
        &by_url(&["flush", ID, "--yes"], Some(&own)),
        77,
        "does not permit this",
    );
    ends(
        &lab.verb(&["list", "--filter", "nonsense=1"]),
        64,
        "not a key of registrations",
    );
    ends(
        &lab.verb(&["list", "--columns", "user"]),
        64,
        "did you mean",
    );
    ends(
        &lab.verb(&["list", "elsewhere"]),
        1,
        "no account `elsewhere`",
    );
    ends(
        &by_url(&["count", "--socket", "x"], None),
        64,
        "cannot be used with",
    );
    // A flag overrides the environment.
    let mut command = lab.daemon.command("count");
    command.arg("--socket").arg(lab.daemon.socket());
    command.env("USRLOCD_URL", "http://127.0.0.1:1");
    assert_eq!(out(&command.output().expect("it runs")), "2\n");
    let mut command = lab.daemon.command("count");
    command.env("USRLOCD_URL", "http://127.0.0.1:1");
    ends(&command.output().expect("it runs"), 69, "127.0.0.1:1");
    lab.daemon.stop();
    ends(&lab.verb(&["list"]), 69, "systemctl start usrlocd");
    ends(
        &by_url(&["list"], Some(&good)),
        69,
        "systemctl start usrlocd",
    );
}

#[test]
fn too_many_requests_say_when_to_ask_again() {
    let limits = "[limits]\nrequests = { burst = 2, per_second = 0.1 }\n";
    let lab = lab_with(limits);
    let file = lab.daemon.file("token");
    fs::write(&file, Daemon::TOKEN).expect("it is ours");
    let url = format!("http://{}", lab.daemon.address());
    let file = file.display().to_string();
    let count = || lab.verb(&["count", "--url", &url, "--token-file", &file]);
    eventually("the bucket is empty", SOON, || {
        let output = count();
        holds(output.status.code() == Some(69), || out(&output))
    });
    ends(&count(), 69, "too many requests; try again in ");
}

#[test]
fn a_flush_without_kamailio_says_what_became_of_it() {
    let mut lab = lab();
    let flush = ["flush", ID, "--yes"];
    let as_json = ["flush", ID, "--yes", "-o", "json"];
    let nothing = |output: &std::process::Output| {
        let said: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        assert_eq!(said["flushed"], 0, "{said}");
        let failed = said["failed"].as_array().map(Vec::len);
        assert_eq!(failed, Some(2), "{said}");
    };
    lab.kamailio.signal(Signal::STOP);
    ends(&lab.verb(&flush), 69, "did not answer in time");
    let output = lab.verb(&as_json);
    ends(&output, 69, "did not answer in time");
    nothing(&output);
    lab.kamailio.signal(Signal::CONT);
    lab.kamailio.kill9();
    ends(&lab.verb(&flush), 69, "nothing was flushed: Kamailio's");
    nothing(&lab.verb(&as_json));
    assert_eq!(lab.prints(&["count"]), "2\n", "they are still listed");
}

#[test]
fn an_old_answer_is_marked_on_standard_error() {
    let mut lab = lab();
    lab.kamailio.kill9();
    let database = lab.kamailio.database().to_owned();
    let away = database.with_extension("away");
    fs::rename(&database, away).expect("it is ours");
    let said = eventually("the daemon notices", SOON, || {
        let output = lab.verb(&["count"]);
        assert_eq!(out(&output), "2\n");
        let said = err(&output);
        holds(!said.is_empty(), || "it is live".to_owned()).map(|()| said)
    });
    assert!(
        said.starts_with("warning: stale: Kamailio's database"),
        "{said}"
    );
    for verb in [&["list"][..], &["show", "alice"], &["accounts"]] {
        ends(&lab.verb(verb), 0, "warning: stale");
    }
}

#[test]
fn a_closed_socket_says_who_may_use_it() {
    let lab = lab();
    let socket = lab.daemon.socket();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let usrlocd = lab.daemon.command("count");
    let mut command = if geteuid().is_root() {
        // Root may do everything; without this capability it is the owner that may.
        chown(&socket, Some(65534), Some(65534)).expect("root may");
        let mut command = Command::new(tools::program("setpriv"));
        command.arg("--bounding-set=-dac_override,-dac_read_search");
        command.arg(usrlocd.get_program()).args(usrlocd.get_args());
        command
    } else {
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o000)).expect("it is ours");
        usrlocd
    };
    let output = command.output().expect("it can be run");
    ends(&output, 77, "join its group");
}

/// A URL of what cannot be followed is refused, and that of a server that cannot be reached is told, whichever way it
/// comes; a password in it is not shown.
#[test]
fn a_url_in_database_shows_no_password_whichever_way_it_comes() {
    let lab = lab();
    let other = "oracle://kamailio:s3cr3tpw@db.example.com/kamailio";
    let away = "mysql://kamailio:s3cr3tpw@127.0.0.1:1/kamailio";
    let hidden = "mysql://…@127.0.0.1:1/kamailio";
    for (verb, url, status, word) in [
        (
            &["check-config", "--print"][..],
            other,
            78,
            "oracle is not supported",
        ),
        (&["serve"], other, 78, "oracle is not supported"),
        (&["doctor"], other, 1, "oracle is not supported"),
        (&["check-config", "--print"], away, 0, hidden),
        (
            &["doctor"],
            away,
            1,
            "cannot connect to the database server",
        ),
    ] {
        let by_flag = [verb, &["--database", url]].concat();
        let mut by_variable = lab.daemon.command(verb[0]);
        by_variable.args(&verb[1..]);
        by_variable.env("USRLOCD_KAMAILIO__DATABASE", url);
        let by_variable = by_variable.output().expect("usrlocd can be run");
        for output in [lab.verb(&by_flag), by_variable] {
            let told = out(&output) + &err(&output);
            assert_eq!(output.status.code(), Some(status), "{told}");
            assert!(told.contains(word), "{told}");
            assert!(!told.contains("s3cr3tpw"), "{told}");
        }
    }
}

/// What the verb says to an answer that a real daemon does not give at will.
#[track_caller]
fn told(args: &[&str], status: &str, body: &str, code: i32, word: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    thread::scope(|scope| {
        scope.spawn(move || {
            let (stream, _) = listener.accept().expect("the verb connects");
            // It answers once: whoever asks for more is refused, and does not wait.
            drop(listener);
            let head = BufReader::new(&stream).lines();
            let last = head.map_while(Result::ok).find(String::is_empty);
            assert!(last.is_some(), "the request has an end");
            (&stream).write_all(answer.as_bytes()).expect("it reads");
        });
        let output = Command::new(tools::usrlocd())
            .args(args)
            .args(["--url", &format!("http://{address}")])
            .stdin(Stdio::null())
            .output()
            .expect("usrlocd can be run");
        ends(&output, code, word);
    });
}

#[test]
fn a_flush_that_is_not_confirmed_is_partly_done() {
    let body = r#"{"data": {"flushed": 3, "failed": [{"aor": "a@b", "reason": "it is still\u001b there"}],
        "failed_total": 1}, "error": "502", "message": "flush_incomplete", "status": "error"}"#;
    let flush = ["flush", "acme", "--yes"];
    let status = "502 Bad Gateway";
    told(&flush, status, body, 2, "a@b: it is still\\u{1b} there\n");
    told(
        &flush,
        status,
        body,
        2,
        "flushed 3, failed 1; those that failed are still listed",
    );
    let none = body.replace("\"flushed\": 3", "\"flushed\": 0");
    told(&flush, status, &none, 1, "nothing was flushed: 1 failed");
    told(&flush, status, &none, 1, "a@b: it is still");
}

#[test]
fn answers_that_are_not_ours_are_told() {
    let stranger = "does not answer like usrlocd";
    told(&["count"], "200 OK", "<html>", 69, stranger);
    told(&["list"], "200 OK", "[]", 69, stranger);
    told(
        &["count"],
        "404 Not Found",
        "",
        1,
        "does not know this request",
    );
    told(
        &["count"],
        "500 Internal Server Error",
        "",
        69,
        "usrlocd failed: 500",
    );
    let starting = r#"{"message": "datastore_unreachable"}"#;
    let words = "Kamailio's database has not been read yet";
    told(&["count"], "503 Service Unavailable", starting, 69, words);
}

#[test]
fn a_configuration_is_called_well_only_where_all_files_are() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).prepare();
    let check = |quiet: bool| {
        let mut command = daemon.command("check-config");
        command.args(quiet.then_some("--quiet"));
        command.output().expect("it runs")
    };
    assert!(out(&check(false)).ends_with(": ok\n"));
    let quiet = check(true);
    assert_eq!((quiet.status.code(), out(&quiet)), (Some(0), String::new()));
    fs::write(daemon.tokens_file(), "[[token]]\n").expect("it is ours");
    for quiet in [false, true] {
        let output = check(quiet);
        assert_eq!(out(&output), "");
        ends(&output, 78, "tokens.toml:1:");
    }
}

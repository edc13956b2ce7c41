//! How usrlocd starts, reads its files anew, and ends.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use usrlocd::clock::{Clock, SystemClock};

use crate::oracle::{PATIENCE, agree, lists, of};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::http;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds, tools};

const ALL: &str = "/v2/registrations";

fn acme() -> Account {
    Account::new("ac", "Acme", "acme.example.com")
}

/// A registrar with one phone of Acme's, and usrlocd beside it.
fn lab() -> (Kamailio, Daemon, Phone) {
    let kamailio = Kamailio::builder().start();
    let mut phone = Phone::of(&kamailio, &acme().device("alice", 1));
    phone.register();
    let daemon = Daemon::builder(&kamailio).start();
    lists(&daemon, &of(&acme()), &[phone.contact_uri()]);
    (kamailio, daemon, phone)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn delete(address: SocketAddr) -> std::io::Result<http::Response> {
    let token = [("X-Auth-Token", Daemon::TOKEN)];
    http::request(address, "DELETE", &of(&acme()), &token, b"")
}

#[test]
fn healthy_run_warns_of_nothing_and_leaves_nothing() {
    let (kamailio, mut daemon, mut phone) = lab();
    phone.register();
    assert_eq!(daemon.get("/livez").status, 200);
    assert_eq!(daemon.get("/readyz").status, 200);
    assert_eq!(daemon.delete(&of(&acme())).status, 200);
    agree(&kamailio, &daemon);
    let address = daemon.address();
    assert_eq!(daemon.stop().code(), Some(0));
    let log = daemon.log();
    for word in ["WARN", "ERROR", "panicked", Daemon::TOKEN] {
        assert!(!log.contains(word), "{word} in the log:\n{log}");
    }
    assert!(log.contains("flushed registrations"), "{log}");
    assert!(!daemon.socket().exists(), "its socket stays behind");
    assert!(TcpListener::bind(address).is_ok());
}

#[test]
fn term_answers_a_slow_flush_first() {
    let (kamailio, mut daemon, _phone) = lab();
    kamailio.signal(Signal::STOP);
    let address = daemon.address();
    let flush = thread::spawn(move || delete(address));
    // The flush hangs at Kamailio for the two seconds of rpc_timeout. A connection of it shows that it is under way.
    eventually("the flush waits for Kamailio", PATIENCE, || {
        holds(waits_for(kamailio.address()), || "not yet".to_owned())
    });
    let clock = SystemClock::new();
    let status = daemon.stop();
    let took = clock.monotonic();
    kamailio.signal(Signal::CONT);
    let answer = flush.join().expect("it ends").expect("it is answered");
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// Whether a connection to `server` has bytes that it has not read.
fn waits_for(server: SocketAddr) -> bool {
    let port = format!(":{:04X}", server.port());
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let unread = fields[4]
            .split_once(':')
            .is_some_and(|(_, unread)| unread != "00000000");
        fields[1].ends_with(&port) && unread && fields[3] != "0A"
    })
}

#[test]
fn interrupt_ends_it_too() {
    let (_kamailio, mut daemon, _phone) = lab();
    daemon.signal(Signal::INT);
    let status = eventually("it ends", PATIENCE, || {
        daemon.ended().ok_or_else(|| "it runs".to_owned())
    });
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
}

fn status_with(daemon: &Daemon, token: &str) -> u16 {
    daemon
        .request("GET", ALL, &[("X-Auth-Token", token)], b"")
        .status
}

#[test]
fn changed_tokens_are_in_force_without_a_restart() {
    let (_kamailio, daemon, _phone) = lab();
    assert_eq!(status_with(&daemon, "second-token"), 401);
    daemon.replace_tokens(&[("lab", Daemon::TOKEN), ("second", "second-token")]);
    eventually("the watched file is read", PATIENCE, || {
        let status = status_with(&daemon, "second-token");
        holds(status == 200, || status.to_string())
    });
    daemon.replace_tokens(&[("second", "second-token")]);
    eventually("the revoked token is refused", PATIENCE, || {
        let status = status_with(&daemon, Daemon::TOKEN);
        holds(status == 401, || status.to_string())
    });
    assert_eq!(status_with(&daemon, "second-token"), 200);
}

#[test]
fn bad_tokens_are_reported_and_the_old_ones_stay() {
    let (_kamailio, daemon, _phone) = lab();
    fs::write(daemon.tokens_file(), "[[token]]\nname = 7\n").expect("it is ours");
    daemon.signal(Signal::HUP);
    eventually("the mistake is reported", PATIENCE, || {
        let log = daemon.log();
        holds(log.contains("tokens.toml:2:"), || log)
    });
    assert_eq!(status_with(&daemon, Daemon::TOKEN), 200);
    daemon.replace_tokens(&[("third", "third-token")]);
    daemon.signal(Signal::HUP);
    eventually("the good file is read", PATIENCE, || {
        let status = status_with(&daemon, "third-token");
        holds(status == 200, || status.to_string())
    });
    assert_eq!(status_with(&daemon, Daemon::TOKEN), 401);
}

#[test]
fn hangup_reads_the_configuration_anew() {
    let (_kamailio, daemon, _phone) = lab();
    let file = daemon.config_file();
    let before = fs::read_to_string(&file).expect("it is there");
    fs::write(&file, format!("{before}\n[log]\nlevel = \"debug\"\n")).expect("ours");
    daemon.signal(Signal::HUP);
    eventually("it says what changed", PATIENCE, || {
        let log = daemon.log();
        holds(log.contains("log level"), || log)
    });
    fs::write(&file, format!("{before}\n[log]\nlevel = \"loud\"\n")).expect("ours");
    daemon.signal(Signal::HUP);
    eventually("it reports the mistake", PATIENCE, || {
        let log = daemon.log();
        holds(
            log.contains("usrlocd.toml:") && log.contains("loud"),
            || log,
        )
    });
    assert_eq!(status_with(&daemon, Daemon::TOKEN), 200);
}

#[test]
fn taken_port_is_71() {
    let (kamailio, daemon, _phone) = lab();
    let other = Daemon::builder(&kamailio)
        .port(daemon.address().port())
        .prepare();
    let output = other.command("serve").output().expect("it runs");
    assert_eq!(output.status.code(), Some(71), "{}", said(&output));
    assert!(said(&output).contains(&daemon.address().to_string()));
}

#[test]
fn mistakes_in_the_configuration_are_78_with_their_places() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio)
        .sections("[limits]\nconections = 5\n[log]\nlevel = \"loud\"\n")
        .prepare();
    let file = daemon.config_file().display().to_string();
    let text = fs::read_to_string(daemon.config_file()).expect("it is there");
    let line_of = |part: &str| {
        1 + text
            .lines()
            .position(|line| line.contains(part))
            .expect("there")
    };
    for verb in ["check-config", "serve"] {
        let output = daemon.command(verb).output().expect("it runs");
        assert_eq!(output.status.code(), Some(78), "{}", said(&output));
        for part in ["conections", "loud"] {
            let place = format!("{file}:{}:", line_of(part));
            assert!(
                said(&output).contains(&place),
                "{verb}: no {place} in {}",
                said(&output)
            );
        }
    }
}

#[test]
fn mistakes_on_the_command_line_are_64() {
    for arguments in [
        &["serv"][..],
        &["serve", "--nonsense"],
        &["check-config", "extra"],
    ] {
        let output = Command::new(tools::usrlocd())
            .args(arguments)
            .output()
            .expect("it runs");
        assert_eq!(
            output.status.code(),
            Some(64),
            "{arguments:?}: {}",
            said(&output)
        );
    }
}

#[test]
fn store_that_cannot_be_created_is_73() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).prepare();
    let file = daemon.file("a-file");
    fs::write(&file, "in the way").expect("ours");
    let store = file.join("usrlocd.db");
    let mut command = daemon.command("serve");
    let output = command
        .arg("--store")
        .arg(&store)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(73), "{}", said(&output));
    assert!(said(&output).contains("a-file"), "{}", said(&output));
}

//! How usrlocd starts, what it says meanwhile, and how it ends.

use std::fs;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, geteuid};
use usrlocd::clock::{Clock, SystemClock};

use crate::oracle::{PATIENCE, agree, lists, of};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::http;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds, tools};

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

/// Severity, target and sentence of each line, without its time and its fields.
fn lines_of(daemon: &Daemon) -> Vec<String> {
    let log = daemon.log();
    let words = |line: &str| line.split_whitespace().skip(1).map(str::to_owned).collect();
    let sentence = |words: Vec<String>| {
        let fields = words.iter().position(|word| word.contains('='));
        words[..fields.unwrap_or(words.len())].join(" ")
    };
    log.lines().map(words).map(sentence).collect()
}

/// Phones come, refresh and go, callers list, count and flush: of all that only the flush is worth a line.
#[test]
fn healthy_run_is_quiet_and_leaves_nothing() {
    let (kamailio, mut daemon, mut phone) = lab();
    let mut second = Phone::of(&kamailio, &acme().device("bob", 2));
    second.register();
    phone.register();
    lists(
        &daemon,
        &of(&acme()),
        &[phone.contact_uri(), second.contact_uri()],
    );
    assert_eq!(daemon.get(&format!("{}/count", of(&acme()))).status, 200);
    assert_eq!(daemon.get(&format!("{}/alice", of(&acme()))).status, 200);
    for path in ["/livez", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(daemon.get(path).status, 200);
    }
    second.unregister();
    lists(&daemon, &of(&acme()), &[phone.contact_uri()]);
    assert_eq!(daemon.delete(&of(&acme())).status, 200);
    agree(&kamailio, &daemon);
    let address = daemon.address();
    assert_eq!(daemon.stop().code(), Some(0));
    let expected = [
        "INFO usrlocd::daemon: started",
        "INFO usrlocd::daemon::notify: ready",
        "NOTICE usrlocd::audit: flushed registrations",
        "INFO usrlocd::daemon: stopped",
    ];
    assert_eq!(lines_of(&daemon), expected, "{}", daemon.log());
    assert!(!daemon.log().contains(Daemon::TOKEN), "{}", daemon.log());
    assert!(!daemon.socket().exists(), "its socket stays behind");
    assert!(TcpListener::bind(address).is_ok());
}

#[test]
fn changes_of_state_have_a_line_each() {
    let kamailio = Kamailio::builder().start();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let database = folder.path().join("kamailio.sqlite");
    let mut daemon = Daemon::builder(&kamailio)
        .database(&database)
        .sections("[log]\nformat = \"json\"\n")
        .prepare();
    daemon.start_unready();
    eventually("it says that there is nothing to read", PATIENCE, || {
        holds(
            daemon.log().contains("cannot read Kamailio's tables"),
            || daemon.log(),
        )
    });
    let schema = ["standard-create.sql", "usrloc-create.sql"]
        .map(|name| fs::read_to_string(tools::schema(name)).expect("it is installed"));
    let made = Command::new(tools::program("sqlite3"))
        .arg(&database)
        .arg(format!("pragma journal_mode = wal; {}", schema.concat()))
        .output()
        .expect("it runs");
    assert!(made.status.success(), "{}", said(&made));
    eventually("it reads the tables", PATIENCE, || {
        let answer = daemon.get("/readyz");
        holds(answer.status == 200, || answer.text())
    });
    daemon.stop();
    let log = daemon.log();
    let line = |line: &str| {
        let object: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        let text = |key: &str| object[key].as_str().expect("it is there").to_owned();
        (text("level"), text("message"))
    };
    let lines: Vec<(String, String)> = log.lines().map(line).collect();
    let once = |level: &str, message: &str| {
        let found = lines.iter().filter(|(_, said)| said == message);
        let levels: Vec<&str> = found.map(|(level, _)| level.as_str()).collect();
        assert_eq!(levels, [level], "{message} in\n{log}");
    };
    once("INFO", "started");
    once("INFO", "ready");
    once("INFO", "reading Kamailio's tables");
    once("INFO", "stopped");
    let others = lines.iter().filter(|(level, _)| level != "INFO");
    let unreadable = "cannot read Kamailio's tables; serving the last known rows";
    for (level, message) in others {
        assert_eq!(level, "WARN", "{message}");
        assert!(message.starts_with(unreadable), "{message}");
        assert!(message.ends_with("; run `usrlocd doctor`"), "{message}");
    }
}

/// A database that usrlocd's user may not read: file, cause and what to do stand in the line.
#[test]
fn what_keeps_it_from_reading_is_said_in_words() {
    let kamailio = Kamailio::builder().start();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let database = folder.path().join("kamailio.sqlite");
    fs::copy(kamailio.database(), &database).expect("both are ours");
    fs::set_permissions(&database, fs::Permissions::from_mode(0o000)).expect("it is ours");
    // Root may read everything, but for these capabilities.
    let as_others = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    let wrapper: &[&str] = if geteuid().is_root() { &as_others } else { &[] };
    let mut daemon = Daemon::builder(&kamailio)
        .database(&database)
        .wrapper(wrapper)
        .prepare();
    daemon.start_unready();
    let said = format!(
        "cannot read Kamailio's tables; serving the last known rows: {}: cannot open the database or a file beside it: Permission denied",
        database.display()
    );
    eventually("it is said", PATIENCE, || {
        let log = daemon.log();
        let line = log.lines().find(|line| line.contains(&said));
        let is_whole = line.is_some_and(|line| line.contains("; run `usrlocd doctor`"));
        holds(is_whole, || log.clone())
    });
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

/// Who was let in just before the end, and had no time to ask, is answered as well.
#[test]
fn term_answers_who_has_just_connected() {
    let (_kamailio, mut daemon, _phone) = lab();
    let mut stream = TcpStream::connect(daemon.address()).expect("it listens");
    eventually("the connection is accepted", PATIENCE, || {
        let metrics = daemon.get("/metrics").text();
        holds(metrics.contains("usrlocd_http_connections 2\n"), || metrics)
    });
    daemon.signal(Signal::TERM);
    eventually("nobody else is let in", PATIENCE, || {
        let knock = TcpStream::connect(daemon.address());
        holds(knock.is_err(), || "it listens".to_owned())
    });
    let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).expect("the connection stands");
    let answer = http::read_response(BufReader::new(stream), "GET");
    assert_eq!(answer.expect("an answer").status, 200);
    let status = eventually("usrlocd ends", PATIENCE, || {
        daemon.ended().ok_or_else(|| "it runs".to_owned())
    });
    assert_eq!(status.code(), Some(0));
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

/// Every file is read as the daemon reads it, and all mistakes are told together.
#[test]
fn check_config_reads_what_the_configuration_names() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).prepare();
    let file = |name: &str, text: &str| {
        let path = daemon.file(name);
        fs::write(&path, text).expect("ours");
        path
    };
    let directory = file(
        "directory.json",
        "{\n\"accounts\": [{\"id\": \"a\", \"parent\": \"b\"}]}",
    );
    let private = file(
        "private.pem",
        include_str!("../src/http/tests/keys/private_for_tests_only.pem"),
    );
    let nonsense = file("nonsense.pem", "a key\n");
    fs::write(daemon.tokens_file(), "[[token]]\nname = 7\n").expect("ours");
    let text = fs::read_to_string(daemon.config_file()).expect("it is there");
    let more = format!(
        "[directory]\nfile = {directory:?}\n[auth.jwt]\nkeys = [{{ kid = \"p\", pem_file = {private:?} }}, {{ kid = \"n\", pem_file = {nonsense:?} }}]\n"
    );
    fs::write(daemon.config_file(), format!("{text}\n{more}")).expect("ours");
    let output = daemon.command("check-config").output().expect("it runs");
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
    for place in [
        "tokens.toml:2:8: ",
        "directory.json:2:26: account \"a\" names the parent \"b\"",
        "private.pem:1:1: this is a private key",
        "nonsense.pem:1:1: not a PEM file",
    ] {
        assert!(
            said(&output).contains(place),
            "no {place} in {}",
            said(&output)
        );
    }
    // The daemon refuses each of them, too.
    let output = daemon.command("serve").output().expect("it runs");
    assert_eq!(output.status.code(), Some(78), "{}", said(&output));
}

/// Asked as somebody else than root, who may read everything.
#[test]
fn configuration_that_may_not_be_read_is_77() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let open = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    };
    open(folder.path(), 0o755);
    let program = folder.path().join("usrlocd");
    fs::copy(tools::usrlocd(), &program).expect("a temporary directory has room");
    let file = folder.path().join("usrlocd.toml");
    fs::write(&file, "").expect("ours");
    open(&file, 0o000);
    for verb in ["check-config", "serve"] {
        let mut command = Command::new(&program);
        if rustix::process::geteuid().is_root() {
            command = Command::new(tools::program("setpriv"));
            command
                .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
                .arg(&program);
        }
        let output = command
            .args([verb, "--config"])
            .arg(&file)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(77), "{}", said(&output));
        assert!(
            said(&output).contains("make it readable for usrlocd's user or group"),
            "{}",
            said(&output)
        );
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

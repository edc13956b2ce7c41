//! usrlocd is held up, or a writer is in its way: it catches up, and says nothing that is not so meanwhile.

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::oracle::{PATIENCE, agree, agrees_with_tables, list, writes_round};
use crate::support::daemon::Daemon;
use crate::support::kamailio::{Journal, Kamailio};
use crate::support::phone::Phone;
use crate::support::{eventually, holds, tools};

const ALL: &str = "/v2/registrations";
const REALM: &str = "acme.example.com";

fn held_up(journal: Journal) {
    let kamailio = Kamailio::builder().journal(journal).start();
    let daemon = Daemon::builder(&kamailio).start();
    let mut phones: Vec<Phone> = (0..150)
        .map(|number| Phone::new(&kamailio, format!("u{number}"), REALM))
        .collect();
    phones.iter_mut().for_each(Phone::register);
    agree(&kamailio, &daemon);
    // Each round is more than the log holds before it begins anew, and is not seen.
    daemon.signal(Signal::STOP);
    for round in 2..=5 {
        phones.iter_mut().for_each(Phone::register);
        writes_round(&kamailio, phones.len(), round);
    }
    for mut phone in phones.drain(100..) {
        phone.unregister();
    }
    writes_round(&kamailio, phones.len(), 5);
    daemon.signal(Signal::CONT);
    agree(&kamailio, &daemon);
    assert_eq!(list(&daemon, ALL).len(), 100);
    // Now and then, in the middle of writes.
    for round in 6..=9 {
        for (number, phone) in phones.iter_mut().enumerate() {
            phone.register();
            match number % 20 {
                5 => daemon.signal(Signal::STOP),
                12 => daemon.signal(Signal::CONT),
                _ => {}
            }
        }
        daemon.signal(Signal::CONT);
        writes_round(&kamailio, phones.len(), round);
        agree(&kamailio, &daemon);
    }
    kamailio.has_missed_no_lock();
}

#[test]
fn held_up_over_restarts_of_the_log() {
    held_up(Journal::Wal);
}

#[test]
fn held_up_over_commits_without_a_log() {
    held_up(Journal::Rollback);
}

#[test]
fn readiness_waits_for_a_writer_in_the_way() {
    let mut kamailio = Kamailio::builder().journal(Journal::Rollback).start();
    Phone::new(&kamailio, "alice", REALM).register();
    kamailio.stop();
    // It keeps its lock after the commit, until it ends.
    let mut writer = Command::new(tools::program("sqlite3"))
        .arg(kamailio.database())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("sqlite3 starts");
    let mut input = writer.stdin.take().expect("the input is a pipe");
    let sql = "pragma locking_mode = exclusive;\nupdate location set cseq = 7;\n";
    input.write_all(sql.as_bytes()).expect("sqlite3 reads");
    let folder = TempDir::with_prefix("usrlocd-notify-").expect("a temporary directory");
    let address = folder.path().join("notify");
    let manager = UnixDatagram::bind(&address).expect("it is new");
    manager
        .set_read_timeout(Some(PATIENCE))
        .expect("a time-out is allowed");
    eventually("the writer has its lock", PATIENCE, || {
        let output = Command::new(tools::program("sqlite3"))
            .arg(kamailio.database())
            .arg("select 1 from location")
            .output()
            .expect("sqlite3 starts");
        holds(!output.status.success(), || "not yet".to_owned())
    });
    let mut daemon = Daemon::builder(&kamailio)
        .environment("NOTIFY_SOCKET", &address.display().to_string())
        .prepare();
    daemon.start_unready();
    eventually("the writer is in the way", PATIENCE, || {
        holds(daemon.log().contains("holds the database"), || daemon.log())
    });
    drop(input);
    writer.wait().expect("an own child");
    let mut bytes = [0; 4096];
    let ready = loop {
        let length = manager.recv(&mut bytes).expect("a message");
        let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
        if !message.starts_with("STATUS=starting: ") {
            break message;
        }
    };
    assert!(ready.starts_with("READY=1\n"), "{ready}");
    assert!(ready.contains("STATUS=1 registration; live"), "{ready}");
    agrees_with_tables(&kamailio, &daemon);
}

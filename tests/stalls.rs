//! usrlocd is held up, or a writer is in its way: it catches up, and says nothing that is not so meanwhile.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use rustix::process::Signal;
use tempfile::TempDir;
use usrlocd::clock::{Clock, SystemClock};

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

/// A writer that has changed the table and keeps its lock after the commit, until it ends.
struct InTheWay {
    writer: Child,
    input: ChildStdin,
}

impl InTheWay {
    /// Puts it there; returns when nobody else can read.
    fn of(kamailio: &Kamailio) -> Self {
        let mut writer = Command::new(tools::program("sqlite3"))
            .arg(kamailio.database())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("sqlite3 starts");
        let mut input = writer.stdin.take().expect("the input is a pipe");
        let sql =
            ".timeout 10000\npragma locking_mode = exclusive;\nupdate location set cseq = 7;\n";
        input.write_all(sql.as_bytes()).expect("sqlite3 reads");
        eventually("the writer has its lock", PATIENCE, || {
            let output = Command::new(tools::program("sqlite3"))
                .arg(kamailio.database())
                .arg("select 1 from location")
                .output()
                .expect("sqlite3 starts");
            holds(!output.status.success(), || "not yet".to_owned())
        });
        Self { writer, input }
    }

    fn ends(mut self) {
        drop(self.input);
        self.writer.wait().expect("an own child");
    }
}

/// What an answer says about the source: its state, the moment that it is true of in Unix milliseconds, and how many
/// ago that was.
fn source(daemon: &Daemon) -> (String, u64, u64) {
    let envelope = daemon.get(ALL).json();
    let source = &envelope["source"];
    let state = source["state"].as_str().expect("a state").to_owned();
    let as_of = Duration::from_secs_f64(source["as_of"].as_f64().expect("seconds"));
    let as_of = u64::try_from(as_of.as_millis()).expect("our age");
    (state, as_of, source["lag_ms"].as_u64().expect("a lag"))
}

#[test]
fn what_is_shown_behind_a_writer_in_the_way_is_said_to_be_old() {
    let mut kamailio = Kamailio::builder().journal(Journal::Rollback).start();
    Phone::new(&kamailio, "alice", REALM).register();
    kamailio.stop();
    let daemon = Daemon::builder(&kamailio).start();
    agrees_with_tables(&kamailio, &daemon);
    let clock = SystemClock::new();
    let unix = || u64::try_from(clock.unix().as_millis()).expect("our age");
    let before = unix();
    assert_eq!(source(&daemon).0, "live");
    let writer = InTheWay::of(&kamailio);
    let locked = unix();
    let (_, as_of, lag) = eventually("it is stale", PATIENCE, || {
        let source = source(&daemon);
        holds(source.0 == "stale", || format!("{source:?}")).map(|()| source)
    });
    // It was true of some moment since the start, and of none after the writer's first byte: until then, while it
    // waits for the disk to have its journal, the file is as it was. Stamps come from a clock that ticks seldom.
    let written = fs::metadata(kamailio.database()).and_then(|file| file.modified());
    let written = written.expect("it is there").duration_since(UNIX_EPOCH);
    let written = u64::try_from(written.expect("our age").as_millis()).expect("our age");
    assert!(
        as_of + 10_000 > before && as_of <= written + 10,
        "{as_of}, written to at {written}"
    );
    assert_eq!(daemon.get("/readyz").status, 503);
    eventually("the lag grows and the moment stays", PATIENCE, || {
        let (state, still, now) = source(&daemon);
        assert_eq!((state.as_str(), still), ("stale", as_of));
        assert!(now + as_of <= unix() + 100, "{now} ms after {as_of}");
        holds(now >= lag + 2000, || format!("{now} after {lag}"))
    });
    assert_eq!(
        list(&daemon, ALL)[0]["cseq"],
        1,
        "the last known row is served"
    );
    writer.ends();
    eventually("it is live again", PATIENCE, || {
        let source = source(&daemon);
        holds(source.0 == "live" && source.1 > locked, || {
            format!("{source:?}")
        })
    });
    assert_eq!(list(&daemon, ALL)[0]["cseq"], 7);
    assert_eq!(daemon.get("/readyz").status, 200);
}

#[test]
fn readiness_waits_for_a_writer_in_the_way() {
    let mut kamailio = Kamailio::builder().journal(Journal::Rollback).start();
    Phone::new(&kamailio, "alice", REALM).register();
    kamailio.stop();
    let writer = InTheWay::of(&kamailio);
    let folder = TempDir::with_prefix("usrlocd-notify-").expect("a temporary directory");
    let address = folder.path().join("notify");
    let manager = UnixDatagram::bind(&address).expect("it is new");
    manager
        .set_read_timeout(Some(PATIENCE))
        .expect("a time-out is allowed");
    let mut daemon = Daemon::builder(&kamailio)
        .environment("NOTIFY_SOCKET", &address.display().to_string())
        .prepare();
    daemon.start_unready();
    eventually("the writer is in the way", PATIENCE, || {
        holds(daemon.log().contains("holds the database"), || daemon.log())
    });
    writer.ends();
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

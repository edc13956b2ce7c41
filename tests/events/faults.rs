//! Streams while the history cannot be kept: they go on without a gap, and whoever resumes is told what is missing.

use std::fs;

use serde_json::Value;

use super::{acme, told, watched};
use crate::oracle::PATIENCE;
use crate::store::read_only::ReadOnly;
use crate::store::{fill_the_disk, on_a_small_disk};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::stream::{Stream, type_of};
use crate::support::{eventually, holds};

/// A phone, and a stream that has told of it.
struct Watched {
    alice: Phone,
    stream: Stream,
}

impl Watched {
    fn start(kamailio: &Kamailio, daemon: &Daemon) -> (Self, String) {
        let mut alice = Phone::of(kamailio, &acme().device("alice", 1));
        // An account is known once it has a row.
        let mut first = Phone::of(kamailio, &acme().device("first", 9));
        first.register();
        eventually("the account is known", PATIENCE, || {
            let answer = daemon.get(&watched(&acme()).replace("?watch=true", ""));
            holds(answer.status == 200, || answer.text())
        });
        let mut stream = Stream::open(daemon, &watched(&acme()));
        stream.next_of("hello");
        alice.register();
        let event = stream.event();
        assert_eq!(told(&event), ("registered", "alice", ""));
        (Self { alice, stream }, id(&event))
    }

    /// The phone goes and comes, and the stream tells just that. Returns the last event's id.
    #[track_caller]
    fn goes_on(&mut self) -> String {
        self.alice.unregister();
        let event = self.stream.event();
        assert_eq!(told(&event), ("terminated", "alice", "removed"), "{event}");
        self.alice.register();
        let event = self.stream.event();
        assert_eq!(told(&event), ("registered", "alice", ""), "{event}");
        id(&event)
    }

    /// Whoever goes on after `lost` is told of a gap, and after `kept` of what comes alone.
    #[track_caller]
    fn resumes(&mut self, daemon: &Daemon, lost: &str, kept: &str) {
        let since = |id: &str| format!("{}&since={id}", watched(&acme()));
        let gap = Stream::open(daemon, &since(lost)).event();
        assert_eq!((type_of(&gap), &gap["cause"]), ("gap", &"other_log".into()));
        let mut on = Stream::open(daemon, &since(kept));
        self.goes_on();
        assert_eq!(type_of(&on.event()), "terminated");
        assert_eq!(type_of(&on.event()), "registered");
    }
}

fn id(event: &Value) -> String {
    event["id"].as_str().expect("it has an id").to_owned()
}

fn log_of(id: &str) -> &str {
    id.split_once('-').expect("log and number").0
}

#[track_caller]
fn said(daemon: &Daemon, what: &str) {
    eventually(what, PATIENCE, || {
        holds(daemon.log().contains(what), || daemon.log())
    });
}

#[test]
fn a_stream_goes_on_when_the_history_is_deleted() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let (mut watched, first) = Watched::start(&kamailio, &daemon);
    for side in ["", "-wal", "-shm"] {
        let file = daemon.store().with_file_name(format!("history.db{side}"));
        fs::remove_file(file).expect("it is there");
    }
    let last = watched.goes_on();
    assert_ne!(log_of(&last), log_of(&first), "it is another log");
    said(&daemon, "started a new history");
    watched.resumes(&daemon, &first, &last);
}

#[test]
fn a_stream_goes_on_while_the_disk_is_full() {
    let kamailio = Kamailio::builder().start();
    let daemon = on_a_small_disk(&kamailio);
    let (mut watched, first) = Watched::start(&kamailio, &daemon);
    let filler = fill_the_disk(&daemon);
    let mut times = 0;
    while !daemon.log().contains("events are not being recorded") {
        watched.goes_on();
        times += 1;
        assert!(times < 200, "the disk is not full: {}", daemon.log());
    }
    watched.goes_on();
    fs::remove_file(filler).expect("it is there");
    said(&daemon, "the history can be written again");
    let last = watched.goes_on();
    watched.resumes(&daemon, &first, &last);
    // What was shown without the disk has been written since.
    let history = daemon.get("/v2/history?events=registered&page_size=1000");
    let rows = history.json()["data"].as_array().map_or(0, Vec::len);
    assert!(rows > times + 2, "{rows} after {times}");
}

#[test]
fn a_stream_goes_on_while_the_disk_is_read_only() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let (mut watched, first) = Watched::start(&kamailio, &daemon);
    let read_only = ReadOnly::make(&daemon);
    let without = watched.goes_on();
    assert_ne!(log_of(&without), log_of(&first), "it is another log");
    assert!(read_only.end() > 0);
    said(&daemon, "the history can be written again");
    let last = watched.goes_on();
    watched.resumes(&daemon, &first, &last);
}

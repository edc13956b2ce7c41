//! Very many streams that come and go: they cost no more than the few that may be open, and disturb nobody.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{acme, told, watched};
use crate::oracle::{PATIENCE, lists, of};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::stream::Stream;
use crate::support::{eventually, holds};

/// How many connect at a time, and how often: a thousand in all.
const CALLERS: usize = 50;
const ROUNDS: usize = 20;

/// How many may be open. One is.
const SEATS: usize = 32;

/// KiB that they may add to usrlocd's memory: for each, less than an open connection takes.
const GROWTH: u64 = 16 << 10;

fn call(daemon: &Daemon, target: &str) -> TcpStream {
    let mut stream = TcpStream::connect(daemon.address()).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    let token = Daemon::TOKEN;
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    stream
}

fn status(mut stream: &TcpStream) -> String {
    let mut status = [0; 12];
    stream.read_exact(&mut status).expect("an answer");
    String::from_utf8_lossy(&status[9..]).into_owned()
}

#[test]
fn a_thousand_streams_that_come_and_go_cost_nothing_and_disturb_nobody() {
    let kamailio = Kamailio::builder().start();
    let limits = format!("[limits]\nstreams = 64\nstreams_per_token = {SEATS}\n");
    let daemon = Daemon::builder(&kamailio).sections(&limits).start();
    let mut alice = Phone::of(&kamailio, &acme().device("alice", 1));
    alice.register();
    lists(&daemon, &of(&acme()), &[alice.contact_uri()]);
    let mut steady = Stream::open(&daemon, &watched(&acme()));
    steady.next_of("hello");
    let initial = format!("{}&initial=true", watched(&acme()));
    let (mut before, mut opened, mut refused) = (0, 0, 0);
    for round in 0..ROUNDS {
        // What they leave behind has gone before others come: a seat that was not free would stay taken for good.
        eventually("their seats are free", PATIENCE, || {
            let metrics = daemon.get("/metrics").text();
            holds(metrics.contains("\nusrlocd_event_streams 1\n"), || metrics)
        });
        if round == 1 {
            before = daemon.process().resident();
        }
        let callers: Vec<_> = (0..CALLERS).map(|_| call(&daemon, &initial)).collect();
        // Half of them go without having read anything.
        for caller in &callers[..CALLERS / 2 + round % 2] {
            match &*status(caller) {
                "200" => opened += 1,
                "429" => refused += 1,
                other => panic!("{other}"),
            }
        }
        alice.unregister();
        let event = steady.event();
        assert_eq!(told(&event), ("terminated", "alice", "removed"), "{event}");
        alice.register();
        let event = steady.event();
        assert_eq!(told(&event), ("registered", "alice", ""), "{event}");
    }
    assert!(opened >= ROUNDS && refused >= 1, "{opened} {refused}");
    let grown = daemon.process().resident().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} KiB more");
}

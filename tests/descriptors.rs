//! File descriptors: usrlocd takes what it may. When they run out, who is connected is served, who is not waits, and
//! the log has a line.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;

use crate::oracle::PATIENCE;
use crate::support::daemon::Daemon;
use crate::support::http::{Response, read_response};
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

/// How many the daemon may have: it needs about 30 for itself.
const MOST: usize = 80;

/// How many connect: more than there are descriptors, fewer than may wait in a listener's queue.
const CALLERS: usize = 160;

/// How many of the last ones stay until they are served: there is room for them when the others have gone.
const LATE: usize = 20;

const TOO_FEW: &str = "fewer file descriptors than [limits] connections may need";
const REFUSED: &str = "cannot accept connections";
const AGAIN: &str = "accepting connections again";

/// A connection that is kept.
struct Caller(TcpStream);

impl Caller {
    fn connect(daemon: &Daemon) -> Self {
        let stream = TcpStream::connect(daemon.address()).expect("the queue has room");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        Self(stream)
    }

    fn send(&mut self, target: &str) {
        let token = Daemon::TOKEN;
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: {token}\r\n\r\n");
        let sent = self.0.write_all(request.as_bytes());
        sent.expect("the connection stands");
    }

    fn receive(&mut self) -> Response {
        let answer = read_response(BufReader::new(&self.0), "GET");
        answer.expect("an answer")
    }

    /// Whether neither an answer nor an end has come.
    fn waits(&mut self) -> bool {
        self.0.set_nonblocking(true).expect("it is a socket");
        let read = self.0.read(&mut [0]);
        self.0.set_nonblocking(false).expect("it is a socket");
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

fn is_listed(caller: &mut Caller, username: &str) -> Result<(), String> {
    caller.send("/v2/registrations");
    let answer = caller.receive();
    let found = answer.status == 200 && answer.text().contains(&format!("\"{username}\""));
    holds(found, || {
        format!("HTTP {}: {}", answer.status, answer.text())
    })
}

#[test]
fn none_are_left() {
    let kamailio = Kamailio::builder().start();
    Phone::new(&kamailio, "alice", "acme.example.com").register();
    let mut daemon = Daemon::builder(&kamailio)
        .wrapper(&["prlimit", &format!("--nofile={MOST}:{MOST}")])
        .sections("[limits]\nheader_timeout = \"5m\"\n")
        .start();
    let mut first = Caller::connect(&daemon);
    eventually("alice is listed", PATIENCE, || {
        is_listed(&mut first, "alice")
    });

    let mut callers: Vec<Caller> = (0..CALLERS).map(|_| Caller::connect(&daemon)).collect();
    eventually("descriptors run out", PATIENCE, || {
        holds(daemon.log().contains(REFUSED), || daemon.log())
    });
    // Who is connected is served, and what Kamailio commits is followed.
    Phone::new(&kamailio, "bob", "acme.example.com").register();
    eventually("bob is listed", PATIENCE, || is_listed(&mut first, "bob"));
    // The others have no answer and no reset.
    let mut last = callers.pop().expect("there are many");
    last.send("/readyz");
    assert!(
        last.waits(),
        "the last one was accepted: descriptors are not short"
    );
    assert!(callers.iter_mut().all(Caller::waits), "{}", daemon.log());

    let waiting = callers.split_off(CALLERS - LATE);
    drop(callers);
    assert_eq!(last.receive().status, 200);
    for mut caller in waiting {
        caller.send("/livez");
        assert_eq!(caller.receive().status, 200);
    }
    eventually("it is said that connections come again", PATIENCE, || {
        holds(daemon.log().contains(AGAIN), || daemon.log())
    });
    let log = daemon.log();
    assert!(log.contains(TOO_FEW), "{log}");
    // Ten a second are refused; a line comes every half minute.
    assert!(log.matches(REFUSED).count() <= 3, "{log}");
    assert!(log.contains("Too many open files"), "{log}");
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    assert_eq!(daemon.ended(), None);
}

/// A limit that may be raised is: usrlocd has as many as it may, and says nothing.
#[test]
fn as_many_as_are_allowed() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio)
        .wrapper(&["prlimit", "--nofile=256:2048"])
        .start();
    let metrics = daemon.get("/metrics").text();
    assert!(
        metrics.contains("usrlocd_process_max_fds 2048\n"),
        "{metrics}"
    );
    assert!(!daemon.log().contains(TOO_FEW), "{}", daemon.log());
}

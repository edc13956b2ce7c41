//! usrlocd as a service: what it tells systemd, and what systemd hands to it.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::oracle::PATIENCE;
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds, tools};

/// systemd's end of the socket that a service reports to.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
    seen: VecDeque<String>,
}

impl Manager {
    fn new() -> Self {
        let folder = TempDir::with_prefix("usrlocd-notify-").expect("a temporary directory");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("it is new");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("a time-out is allowed");
        Self {
            socket,
            folder,
            seen: VecDeque::new(),
        }
    }

    fn address(&self) -> String {
        self.folder.path().join("notify").display().to_string()
    }

    /// The next message, or none within the time-out.
    fn next(&mut self) -> Option<String> {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).ok()?;
        let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
        self.seen.push_back(message.clone());
        Some(message)
    }

    /// The next message with this line in it; others are passed over.
    fn wait_for(&mut self, line: &str) -> String {
        while let Some(message) = self.next() {
            if message.lines().any(|found| found == line) {
                return message;
            }
        }
        panic!("no {line}; there came {:?}", self.seen);
    }

    /// Waits for a message that ends so, which may have come already.
    fn wait_for_end(&mut self, end: &str) {
        while !self.seen.iter().any(|it| it.trim_end().ends_with(end)) {
            let message = self.next();
            assert!(message.is_some(), "no {end}; there came {:?}", self.seen);
        }
    }
}

fn phone(kamailio: &Kamailio) -> Phone {
    let acme = Account::new("ac", "Acme", "acme.example.com");
    let mut phone = Phone::of(kamailio, &acme.device("alice", 1));
    phone.register();
    phone
}

#[test]
fn tells_systemd_of_readiness_reload_and_end() {
    // Written through: the row is there before the phone has its answer, and before usrlocd starts.
    let kamailio = Kamailio::builder().db_mode(1).start();
    let _phone = phone(&kamailio);
    let mut manager = Manager::new();
    let mut daemon = Daemon::builder(&kamailio)
        .environment("NOTIFY_SOCKET", &manager.address())
        .start();
    let first = manager.next().expect("a first message");
    assert!(first.starts_with("STATUS=starting: "), "{first}");
    let ready = manager.wait_for("READY=1");
    assert!(ready.starts_with("READY=1\n"), "{ready}");
    let count = "STATUS=1 registration; live, lag ";
    assert!(ready.contains(count), "{ready}");
    manager.wait_for_end("; kamailio ok");

    daemon.signal(Signal::HUP);
    let reloading = manager.wait_for("RELOADING=1");
    let usec = reloading
        .lines()
        .find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(
        usec.is_some_and(|usec| usec.parse::<u64>().is_ok()),
        "{reloading}"
    );
    manager.wait_for("READY=1");

    assert_eq!(daemon.stop().code(), Some(0));
    manager.wait_for("STOPPING=1");
    let fed = manager
        .seen
        .iter()
        .any(|message| message.contains("WATCHDOG"));
    assert!(!fed, "nobody asked for a watchdog: {:?}", manager.seen);
}

#[test]
fn is_ready_beside_a_database_that_is_not_there() {
    let kamailio = Kamailio::builder().start();
    let mut manager = Manager::new();
    let mut daemon = Daemon::builder(&kamailio)
        .database(Path::new("/nonexistent/kamailio.sqlite"))
        .environment("NOTIFY_SOCKET", &manager.address())
        .prepare();
    daemon.start_unready();
    let ready = manager.wait_for("READY=1");
    assert!(
        ready.contains("STATUS=0 registrations; unavailable"),
        "{ready}"
    );
    assert_eq!(daemon.get("/readyz").status, 503);
}

/// The tail's thread alone hangs: strace holds it at its next system call. Every other thread goes on.
#[test]
fn watchdog_starves_when_the_tail_hangs() {
    let kamailio = Kamailio::builder().start();
    let mut manager = Manager::new();
    let daemon = Daemon::builder(&kamailio)
        .environment("NOTIFY_SOCKET", &manager.address())
        .environment("WATCHDOG_USEC", "2000000")
        .start();
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
    let tail = thread_named(daemon.process().id(), "tail");
    let mut strace = Command::new(tools::program("strace"))
        .args([
            "-qq",
            "-e",
            "trace=all",
            "-e",
            "inject=all:delay_enter=600000000",
        ])
        .args(["-o", "/dev/null", "-p", &tail])
        .stdin(Stdio::null())
        .spawn()
        .expect("strace starts");
    manager
        .socket
        .set_read_timeout(Some(Duration::from_secs(6)))
        .expect("a time-out is allowed");
    eventually("the watchdog is not fed", PATIENCE, || {
        let message = manager.next();
        let status = message
            .as_ref()
            .is_some_and(|text| !text.contains("WATCHDOG"));
        holds(message.is_none() || status, || format!("{message:?}"))
    });
    assert_eq!(daemon.get("/livez").status, 200, "the rest goes on");
    let state = || daemon.get("/v2/registrations").json()["source"]["state"].clone();
    eventually("it is stale", PATIENCE, || {
        let found = state();
        holds(found == "stale", || found.to_string())
    });
    let ready = daemon.get("/readyz");
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert!(
        ready.text().contains("cannot be read now"),
        "{}",
        ready.text()
    );
    let logs = |what: &str| {
        eventually("the log says so", PATIENCE, || {
            holds(daemon.log().contains(what), || daemon.log())
        });
    };
    logs("reading Kamailio's files hangs");
    strace.kill().expect("it runs");
    strace.wait().expect("it ends");
    manager.wait_for("WATCHDOG=1");
    eventually("it is live again", PATIENCE, || {
        let found = state();
        holds(found == "live", || found.to_string())
    });
    assert_eq!(daemon.get("/readyz").status, 200);
    logs("reading Kamailio's files again");
}

fn thread_named(process: u32, name: &str) -> String {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    threads
        .map(|thread| thread.expect("it runs").path())
        .find(|thread| {
            fs::read_to_string(thread.join("comm")).is_ok_and(|comm| comm.trim() == name)
        })
        .and_then(|thread| Some(thread.file_name()?.to_string_lossy().into_owned()))
        .expect("there is such a thread")
}

#[test]
fn takes_the_sockets_that_systemd_listens_on() {
    let kamailio = Kamailio::builder().start();
    let folder = TempDir::with_prefix("usrlocd-listen-").expect("a temporary directory");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (own, other) = (path("usrlocd.sock"), path("other.sock"));
    let port = crate::support::ports::free();
    let tcp = format!("127.0.0.1:{port}");
    let mut daemon = Daemon::builder(&kamailio)
        .port(port)
        .wrapper(&["systemd-socket-activate", "-l", &tcp])
        .start();
    assert_eq!(daemon.get("/v2/registrations").status, 200);
    assert!(daemon.socket().exists(), "the other one is its own");
    daemon.stop();

    // Both of usrlocd.socket's. It stays systemd's: the next daemon gets the same one.
    let variable = format!("USRLOCD_HTTP__SOCKET={own}");
    let both = [
        "systemd-socket-activate",
        "-l",
        &tcp,
        "-l",
        &own,
        "-E",
        &variable,
    ];
    let mut daemon = Daemon::builder(&kamailio).port(port).wrapper(&both).start();
    assert_eq!(daemon.get("/v2/registrations").status, 200);
    assert!(!daemon.socket().exists(), "it made one of its own");
    assert_eq!(count_over(&own), "0\n", "root needs no token there");
    daemon.stop();
    assert!(Path::new(&own).exists(), "it has removed systemd's socket");

    // A socket that no key names is an error, not a caller who waits for ever.
    let stray = Daemon::builder(&kamailio).prepare();
    let output = stray_start(&stray, &other);
    assert!(output.contains("which [http] does not name"), "{output}");
}

/// What `usrlocd count` prints that asks over this socket.
fn count_over(socket: &str) -> String {
    let output = Command::new(tools::usrlocd())
        .args(["count", "--socket", socket])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// As systemd hands over `LoadCredential=`: a file that its owner may read and nobody may write, named by the
/// environment alone.
#[test]
fn takes_its_tokens_from_a_credential() {
    let kamailio = Kamailio::builder().start();
    let folder = TempDir::with_prefix("usrlocd-credentials-").expect("a temporary directory");
    let daemon = Daemon::builder(&kamailio).prepare();
    let credential = folder.path().join("tokens.toml");
    fs::rename(daemon.tokens_file(), &credential).expect("both are ours");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    mode(&credential, 0o400);
    mode(folder.path(), 0o500);
    let named = credential.display().to_string();
    let mut daemon = Daemon::builder(&kamailio)
        .environment(
            "CREDENTIALS_DIRECTORY",
            &folder.path().display().to_string(),
        )
        .environment("USRLOCD_AUTH__TOKENS_FILE", &named)
        .start();
    assert_eq!(daemon.get("/v2/registrations").status, 200);
    daemon.stop();
    assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
    mode(folder.path(), 0o700);
}

/// Starts it with a socket too many; what it says before it ends.
fn stray_start(daemon: &Daemon, socket: &str) -> String {
    let own = daemon.command("serve");
    let mut command = Command::new(tools::program("systemd-socket-activate"));
    command.args(["-l", socket]);
    command.arg(own.get_program()).args(own.get_args());
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    eventually("somebody listens", PATIENCE, || {
        let connected = std::os::unix::net::UnixStream::connect(socket);
        connected.map(drop).map_err(|error| error.to_string())
    });
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(71));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn unit_is_hardened() {
    let unit = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/deploy/systemd/usrlocd.service"
    );
    let output = Command::new(tools::program("systemd-analyze"))
        .args([
            "security",
            "--offline=true",
            "--threshold=15",
            "--no-pager",
            unit,
        ])
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("Overall exposure level"), "{output:?}");
    assert!(output.status.success(), "above 1.5:\n{text}");
}

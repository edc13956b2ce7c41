//! The store's file system becomes read-only while usrlocd runs, as the kernel makes one that has gone bad.
//!
//! No file system can be mounted so while somebody writes to it, so that the errors are made where the kernel would
//! give them: strace answers the calls that SQLite writes with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use usrlocd::clock::{Clock, SystemClock};

use super::{REALM, in_tables, keeps, said, stays_fresh, stored};
use crate::oracle::{PATIENCE, agree};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds, tools};

/// What SQLite writes a file with; usrlocd writes nothing else so.
const WRITES: &str = "pwrite64,ftruncate,fallocate,fsync,fdatasync";

/// strace between a usrlocd and the kernel.
pub(crate) struct ReadOnly {
    strace: Child,
    log: PathBuf,
    _folder: TempDir,
}

impl ReadOnly {
    /// From now on what this usrlocd writes is refused.
    pub(crate) fn make(daemon: &Daemon) -> Self {
        let folder = TempDir::with_prefix("usrlocd-strace-").expect("a temporary directory");
        let log = folder.path().join("strace.log");
        let said = fs::File::create(folder.path().join("said")).expect("an own directory");
        let mut strace = Command::new(tools::program("strace"))
            .args(["-f", "-e", &format!("trace={WRITES}")])
            .args(["-e", &format!("inject={WRITES}:error=EROFS"), "-o"])
            .arg(&log)
            .args(["-p", &daemon.process().id().to_string()])
            .stderr(said)
            .stdin(Stdio::null())
            .spawn()
            .expect("strace starts");
        let said = folder.path().join("said");
        eventually("strace is between", PATIENCE, || {
            let said = fs::read_to_string(&said).expect("it is there");
            if let Some(status) = strace.try_wait().expect("an own child") {
                panic!(
                    "strace may not look at another process ({status}: {said}); run the tests as root, or set \
                     kernel.yama.ptrace_scope to 0"
                );
            }
            holds(said.contains("attached"), || said)
        });
        Self {
            strace,
            log,
            _folder: folder,
        }
    }

    /// How many writes were refused.
    fn refused(&self) -> usize {
        refusals(&self.log)
    }

    /// It can be written again; how many writes were refused.
    pub(crate) fn end(mut self) -> usize {
        let pid = Pid::from_child(&self.strace);
        kill_process(pid, Signal::TERM).expect("it runs");
        self.strace.wait().expect("an own child");
        refusals(&self.log)
    }
}

fn refusals(log: &Path) -> usize {
    let log = fs::read_to_string(log).unwrap_or_default();
    log.matches("EROFS").count()
}

#[test]
fn read_only_store_is_written_when_it_can_be() {
    let kamailio = Kamailio::builder().start();
    let mut daemon = Daemon::builder(&kamailio).start();
    Phone::new(&kamailio, "first", REALM).register();
    agree(&kamailio, &daemon);
    keeps(&kamailio, &daemon.store());
    let clock = SystemClock::new();
    let read_only = ReadOnly::make(&daemon);
    stays_fresh(&kamailio, &daemon, "user");
    assert!(read_only.refused() > 0);
    // It is tried again, and that is not said each time.
    let tried = read_only.refused();
    eventually("it is tried again", PATIENCE, || {
        let again = read_only.refused();
        holds(again >= tried + 3, || format!("{again} after {tried}"))
    });
    let times = daemon
        .log()
        .matches("serving registrations from memory only")
        .count();
    let periods = clock.monotonic().as_secs() / Duration::from_secs(30).as_secs();
    let most = 1 + usize::try_from(periods).expect("some minutes");
    assert!((1..=most).contains(&times), "{}", daemon.log());
    assert!(read_only.end() > 0);
    said(&daemon, "the store can be written again");
    keeps(&kamailio, &daemon.store());
    assert!(daemon.stop().success());
    assert_eq!(stored(&daemon.store()), in_tables(&kamailio));
    assert!(!daemon.log().contains("set aside"), "{}", daemon.log());
}

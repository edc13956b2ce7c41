//! `usrlocd watch` beside a real Kamailio: each change is told once, also over a restart of the daemon.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{ID, Lab, acme, ends, lab};
use crate::support::daemon::Daemon;
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

const SOON: Duration = Duration::from_secs(30);

struct Watch {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Watch {
    fn start(daemon: &Daemon, name: &str, args: &[&str]) -> Self {
        let (out, err) = (daemon.file(name), daemon.file(&format!("{name}.err")));
        let file = |path| Stdio::from(File::create(path).expect("it is ours"));
        let child = daemon
            .command("watch")
            .args(args)
            .stdin(Stdio::null())
            .stdout(file(&out))
            .stderr(file(&err))
            .spawn()
            .expect("usrlocd can be run");
        Self { child, out, err }
    }

    /// Event and username of each line.
    fn told(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(&self.out).expect("it is ours");
        let pair = |line: &str| {
            let line: Value = serde_json::from_str(line).expect("a line is an object");
            let text = |key: &str| line[key].as_str().expect("a text").to_owned();
            assert!(!text("time").is_empty() && !text("contact").is_empty());
            (text("event"), text("username"))
        };
        text.lines().map(pair).collect()
    }

    #[track_caller]
    fn tells(&self, event: &str, user: &str) {
        eventually(&format!("{event} {user}"), SOON, || {
            let told = self.told();
            let is_there = told.iter().any(|it| it.0 == event && it.1 == user);
            holds(is_there, || format!("{told:?}; {}", self.said()))
        });
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.err).expect("it is ours")
    }

    #[track_caller]
    fn says(&self, words: &str) {
        eventually(words, SOON, || {
            let said = self.said();
            holds(said.contains(words), || said)
        });
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn phone(lab: &Lab, user: &str) -> Phone {
    Phone::of(&lab.kamailio, &acme().device(user, 9))
}

#[test]
fn each_change_is_told() {
    let lab = lab();
    let watch = Watch::start(&lab.daemon, "all", &["--initial"]);
    watch.tells("present", "alice");
    watch.tells("present", "bob");
    let refreshes = ["--refreshes", "--filter", "username=carol"];
    let filtered = Watch::start(&lab.daemon, "carol", &refreshes);
    let mut brief = phone(&lab, "brief").expires(3);
    brief.register();
    watch.tells("registered", "brief");
    let mut carol = phone(&lab, "carol");
    carol.register();
    watch.tells("registered", "carol");
    filtered.tells("registered", "carol");
    eventually("a later second", SOON, || {
        carol.register();
        let told = filtered.told();
        holds(told.iter().any(|it| it.0 == "refreshed"), || {
            format!("{told:?}")
        })
    });
    carol.unregister();
    watch.tells("unregistered", "carol");
    lab.prints(&["flush", ID, "--user", "alice", "--yes"]);
    watch.tells("unregistered", "alice");
    watch.tells("expired", "brief");
    assert!(filtered.told().iter().all(|it| it.1 == "carol"));
    let told = watch.told();
    assert_eq!(told.len(), 7, "each is told once, and no refresh: {told:?}");
    assert_eq!(watch.said(), "");
}

#[test]
fn a_restart_of_the_daemon_is_waited_for() {
    let mut lab = lab();
    let mut watch = Watch::start(&lab.daemon, "all", &["--initial"]);
    watch.tells("present", "bob");
    lab.daemon.stop();
    watch.says("usrlocd is not running at");
    watch.says("; waiting for it\n");
    let mut carol = phone(&lab, "carol");
    carol.register();
    lab.daemon.start();
    watch.tells("registered", "carol");
    watch.says("answers are current");
    assert_eq!(watch.told().len(), 3, "nothing else has changed");
    let pid = i32::try_from(watch.child.id()).expect("it is small");
    let pid = Pid::from_raw(pid).expect("it is not zero");
    kill_process(pid, Signal::TERM).expect("it runs");
    let status = watch.child.wait().expect("it ends");
    assert_eq!(status.signal(), Some(15), "no handler of its own");
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let mut lab = lab();
    ends(&lab.verb(&["watch", "nowhere"]), 1, "no account `nowhere`");
    ends(
        &lab.verb(&["watch", "-f", "nonsense=1"]),
        64,
        "not a key of registrations",
    );
    lab.daemon.stop();
    ends(&lab.verb(&["watch"]), 69, "systemctl start usrlocd");
}

//! The first run, without a word about the database.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::oracle::lists;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

const SOON: Duration = Duration::from_secs(20);

/// What a command is put behind to see `etc` as /etc/kamailio.
pub(crate) fn seeing(etc: &Path) -> Vec<String> {
    let mount = "mount --bind \"$1\" /etc/kamailio && shift && exec \"$@\"";
    let unshare = ["unshare", "--user", "--map-root-user", "--mount"];
    let shell = ["sh", "-c", mount, "sh"].map(str::to_owned);
    let words = unshare.map(str::to_owned).into_iter().chain(shell);
    words.chain([etc.display().to_string()]).collect()
}

/// A daemon whose configuration does not name the database, and that sees `etc` as /etc/kamailio.
pub(crate) fn beside_etc(kamailio: &Kamailio, etc: &Path) -> Daemon {
    let wrapper = seeing(etc);
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let daemon = Daemon::builder(kamailio).wrapper(&wrapper).prepare();
    let config = fs::read_to_string(daemon.config_file()).expect("it is ours");
    let unnamed: Vec<&str> = config
        .lines()
        .filter(|line| !line.starts_with("database"))
        .collect();
    fs::write(daemon.config_file(), unnamed.join("\n")).expect("it is ours");
    daemon
}

/// The daemon without a word about the database, beside directories that stand for the machine's own.
#[test]
fn first_run_waits_for_the_database_and_begins() {
    let kamailio = Kamailio::builder().start();
    let mut phone = Phone::new(&kamailio, "alice", "acme.example.com");
    phone.register();
    let folder = tempfile::TempDir::new().expect("a temporary directory");
    let etc = folder.path();
    let mut daemon = beside_etc(&kamailio, etc);
    daemon.start_unready();
    assert_eq!(daemon.request("GET", "/readyz", &[], b"").status, 503);
    assert_eq!(daemon.get("/v2/registrations").status, 503);
    for words in [
        "no Kamailio database found yet, still looking",
        "/var/lib/kamailio/kamailio.sqlite does not exist",
    ] {
        eventually(words, SOON, || {
            let log = daemon.log();
            holds(log.contains(words), || log)
        });
    }

    let url = format!(
        "#!define DBURL \"sqlite://{}\"\n",
        kamailio.database().display()
    );
    fs::write(etc.join("kamailio.cfg"), url).expect("it is ours");
    lists(&daemon, "/v2/registrations", &[phone.contact_uri()]);
    assert_eq!(daemon.request("GET", "/readyz", &[], b"").status, 200);
    let log = daemon.log();
    assert!(
        log.contains("/etc/kamailio/kamailio.cfg line 1 names it"),
        "{log}"
    );
}

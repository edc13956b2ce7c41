//! What we tell operators to put into `kamailio.cfg`: a real Kamailio runs on it, and the doctor is content.

use std::fs;

use super::{examine, says};
use crate::oracle::lists;
use crate::support::daemon::Daemon;
use crate::support::kamailio::{Configuration, Kamailio};
use crate::support::phone::Phone;

#[test]
fn debians_configuration_with_our_lines_keeps_registrations() {
    let kamailio = Kamailio::builder()
        .configuration(Configuration::Debian)
        .start();
    // It takes phones of its own addresses alone, as long as no other domain is told to it.
    let realm = kamailio.address().to_string();
    let mut phone = Phone::new(&kamailio, "alice", &realm);
    phone.register();
    let daemon = Daemon::builder(&kamailio)
        .sections("[metrics]\naccounts = 0\n")
        .start();
    lists(&daemon, "/v2/registrations", &[phone.contact_uri()]);
    let (report, _) = examine(&daemon, &[]);
    says(
        &report,
        "db_mode",
        "ok",
        "writes back to the database by a timer",
    );
    says(&report, "jsonrpc", "ok", "answers at");
    // Debian's has no domain; a realm for it makes that well.
    says(&report, "use_domain", "warn", "stores no domain");
    let config = fs::read_to_string(daemon.config_file()).expect("it is ours");
    let config = config.replace(
        "[kamailio]",
        "[kamailio]\ndefault_realm = \"acme.example.com\"",
    );
    fs::write(daemon.config_file(), config).expect("it is ours");
    says(
        &examine(&daemon, &[]).0,
        "use_domain",
        "note",
        "acme.example.com",
    );
}

/// Debian's Kamailio as installed, without our lines: nothing to list, and the doctor says which lines are missing.
#[test]
fn debians_configuration_alone_writes_nothing() {
    let mut kamailio = Kamailio::builder()
        .configuration(Configuration::Debian)
        .start();
    kamailio.stop();
    let local = kamailio.file("kamailio-local.cfg");
    let text = fs::read_to_string(&local).expect("it is ours");
    let rest: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("WITH_USRLOCDB"))
        .collect();
    assert_ne!(rest.len(), text.lines().count());
    fs::write(&local, rest.join("\n")).expect("it is ours");
    kamailio.start();
    let daemon = Daemon::builder(&kamailio).prepare();
    let (report, status) = examine(&daemon, &[]);
    assert_eq!(status, Some(1), "{report:#}");
    says(
        &report,
        "db_mode",
        "fail",
        "kamailio-sqlite.cfg has the lines",
    );
}

#[test]
fn snippets_for_json_rpc_are_good_kamailio() {
    for name in ["usrlocd.cfg", "usrlocd-datagram.cfg"] {
        let kamailio = Kamailio::builder()
            .datagram(name.contains("datagram"))
            .configuration(Configuration::Snippet(name))
            .start();
        let daemon = Daemon::builder(&kamailio);
        let daemon = match kamailio.datagram_socket() {
            Some(socket) => daemon.rpc(&format!("unixgram:{}", socket.display())),
            None => daemon,
        };
        let (report, _) = examine(&daemon.prepare(), &[]);
        says(&report, "jsonrpc", "ok", "answers at");
        let words = if name.contains("datagram") {
            "0660), which the user"
        } else {
            "is not open on this machine's other addresses"
        };
        says(&report, "exposure", "ok", words);
    }
}

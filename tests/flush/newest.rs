//! `keep_newest=N`: all but the contacts that were modified last.

use std::process::Stdio;

use super::{acme, audit, flushed, refused};
use crate::oracle::{PATIENCE, agree, list, lists, of};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

/// Phones of one user, the newest last: what registers in the same second ends later.
fn phones(kamailio: &Kamailio, number: u32) -> Vec<Phone> {
    let mut phones: Vec<Phone> = (0..number)
        .map(|n| {
            let phone = Phone::of(kamailio, &acme().device("alice", 1)).expires(600 + n);
            phone.user_agent(if n % 2 == 0 { "Even 1.0" } else { "Odd 1.0" })
        })
        .collect();
    phones.iter_mut().for_each(Phone::register);
    phones
}

#[test]
fn only_the_newest_stay() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let phones = phones(&kamailio, 6);
    let contacts: Vec<&[u8]> = phones.iter().map(Phone::contact_uri).collect();
    lists(&daemon, &of(&acme()), &contacts);
    let user = format!("{}/alice", of(&acme()));

    for (target, query) in [
        (of(&acme()), "keep_newest=1"),
        (user.clone(), "keep_newest"),
        (user.clone(), "keep_newest=-1"),
        (user.clone(), "keep_newest=x"),
        (user.clone(), "keep_newest=1.5"),
        (user.clone(), "keep_newest=1&keep_newest=2"),
    ] {
        let answer = daemon.delete(&format!("{target}?{query}"));
        refused(&answer, 400, "validation error");
    }
    let dry = daemon.delete(&format!("{user}?keep_newest=2&dry_run=true"));
    assert_eq!(dry.header("X-Would-Flush"), Some("4"), "{}", dry.text());
    assert_eq!(list(&daemon, &of(&acme())).len(), 6);

    // After the filters: of 0, 2 and 4 the last one stays.
    let even = format!("{user}?filter_user_agent=Even%201.0&keep_newest=1");
    flushed(&daemon.delete(&even), 2);
    lists(
        &daemon,
        &of(&acme()),
        &[contacts[1], contacts[3], contacts[4], contacts[5]],
    );
    flushed(&daemon.delete(&format!("{user}?keep_newest=9")), 0);
    flushed(&daemon.delete(&format!("{user}?keep_newest=3")), 1);
    lists(&daemon, &of(&acme()), &contacts[3..]);
    assert_eq!(kamailio.lookup("alice@acme.example.com").len(), 3);
    assert!(
        audit(&daemon).contains("|keep_newest=3|1|0\n"),
        "{}",
        audit(&daemon)
    );

    // By the command line, and through the tunnel.
    let mut command = daemon.command("flush");
    command.args([&acme().id, "--user", "alice", "--keep-newest", "2", "--yes"]);
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("it can be run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.starts_with("flushed 1 registration of user alice"),
        "{output:?}"
    );
    lists(&daemon, &of(&acme()), &contacts[4..]);
    let headers = [("X-Auth-Token", Daemon::TOKEN)];
    let tunnel = format!("{user}?verb=delete&keep_newest=1");
    flushed(&daemon.request("POST", &tunnel, &headers, b""), 1);
    lists(&daemon, &of(&acme()), &contacts[5..]);
    agree(&kamailio, &daemon);
    flushed(&daemon.delete(&format!("{user}?keep_newest=0")), 1);
    assert!(list(&daemon, &of(&acme())).is_empty());
}

#[test]
fn a_refresh_makes_a_contact_the_newest() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let mut phones = phones(&kamailio, 3);
    let mut first = phones.remove(0).expires(900);
    first.register();
    phones.insert(0, first);
    let contacts: Vec<&[u8]> = phones.iter().map(Phone::contact_uri).collect();
    lists(&daemon, &of(&acme()), &contacts);
    eventually("the refresh shows", PATIENCE, || {
        let items = list(&daemon, &of(&acme()));
        let refreshed = items.iter().any(|item| item["cseq"] == 2);
        holds(refreshed, || format!("{items:?}"))
    });
    let user = format!("{}/alice?keep_newest=1", of(&acme()));
    flushed(&daemon.delete(&user), 2);
    lists(&daemon, &of(&acme()), &contacts[..1]);
}

#[test]
fn the_command_line_refuses_what_makes_no_sense() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    for args in [
        &["acme", "--keep-newest", "1", "--yes"][..],
        &["acme", "--user", "alice", "--keep-newest", "-1", "--yes"],
        &["acme", "--user", "count", "--keep-newest", "1", "--yes"],
    ] {
        let mut command = daemon.command("flush");
        let output = command.args(args).stdin(Stdio::null()).output();
        let output = output.expect("it can be run");
        assert_eq!(output.status.code(), Some(64), "{args:?}: {output:?}");
    }
}

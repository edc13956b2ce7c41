//! Which users a name means.

use std::process::Stdio;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::flushed;
use crate::oracle::{agree, list, lists};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;

const PATH: &str = "/v2/accounts/odd.example.com/registrations";

fn phones<const N: usize>(kamailio: &Kamailio, users: [&[u8]; N]) -> [Phone; N] {
    users.map(|user| {
        let number = user.len();
        let mut phone = Phone::new(kamailio, user, "odd.example.com")
            .contact(format!("sip:{number}@192.0.2.{}", user[user.len() - 1]));
        phone.register();
        phone
    })
}

#[test]
fn of_users_that_differ_by_case_the_exact_one_is_meant() {
    let kamailio = Kamailio::builder().case_sensitive(true).start();
    let daemon = Daemon::builder(&kamailio).start();
    let phones = ["Alice", "alice", "ALICE", "bob"].map(|user| {
        let mut phone = Phone::new(&kamailio, user, "odd.example.com");
        phone.register();
        phone
    });
    let contacts: Vec<&[u8]> = phones.iter().map(Phone::contact_uri).collect();
    lists(&daemon, PATH, &contacts);
    lists(&daemon, &format!("{PATH}/Alice"), &contacts[..1]);
    lists(&daemon, &format!("{PATH}/alice"), &contacts[1..2]);
    lists(&daemon, &format!("{PATH}/aLICE"), &contacts[..3]);
    lists(&daemon, &format!("{PATH}/BOB"), &contacts[3..]);
    let page = daemon.get(&format!("{PATH}/alice?page_size=1"));
    assert!(page.json()["next_start_key"].is_null(), "{}", page.text());

    flushed(&daemon.delete(&format!("{PATH}/alice")), 1);
    lists(&daemon, PATH, &[contacts[0], contacts[2], contacts[3]]);
    assert_eq!(kamailio.lookup("Alice@odd.example.com").len(), 1);
    assert!(kamailio.lookup("alice@odd.example.com").is_empty());
    // It was there within the hour, so nobody else is meant.
    flushed(&daemon.delete(&format!("{PATH}/alice")), 0);
    let show = daemon
        .command("show")
        .arg("Alice")
        .stdin(Stdio::null())
        .output();
    let shown = String::from_utf8_lossy(&show.expect("it can be run").stdout).into_owned();
    assert!(
        shown.contains("Alice") && !shown.contains("ALICE"),
        "{shown}"
    );
    let mut command = daemon.command("flush");
    command.args(["odd.example.com", "--user", "Alice", "--yes"]);
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("it can be run");
    assert!(output.status.success(), "{output:?}");
    lists(&daemon, PATH, &[contacts[2], contacts[3]]);
    flushed(&daemon.delete(&format!("{PATH}/aLiCe")), 1);
    lists(&daemon, PATH, &[contacts[3]]);
    agree(&kamailio, &daemon);
}

#[test]
fn what_is_listed_can_be_asked_for() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let phones = phones(
        &kamailio,
        [
            b"bin6\xff",
            b"bin6\xfe",
            b"bin6\xff7",
            b"bin6",
            b"x\xe4y\xe4",
        ],
    );
    let contacts: Vec<&[u8]> = phones.iter().map(Phone::contact_uri).collect();
    lists(&daemon, PATH, &contacts);
    for item in list(&daemon, PATH) {
        let name = item["username"].as_str().expect("a name");
        let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let items = list(&daemon, &format!("{PATH}/{name}"));
        assert!(items.contains(&item), "{item} in {items:?}");
        let count = daemon.get(&format!("{PATH}/count?filter_username={name}"));
        assert_eq!(count.json()["data"]["count"], items.len());
    }
    let shown = format!("{PATH}/bin6%EF%BF%BD");
    lists(&daemon, &shown, &contacts[..2]);
    lists(&daemon, &format!("{PATH}/BIN6%ff"), &contacts[..1]);
    // Page by page as well.
    let page = daemon.get(&format!("{shown}?page_size=1")).json();
    let next = page["next_start_key"].as_str().expect("a next page");
    let last = daemon
        .get(&format!("{shown}?page_size=1&start_key={next}"))
        .json();
    assert_eq!(last["page_size"], 1, "{last}");
    assert!(last["next_start_key"].is_null(), "{last}");
    assert_ne!(page["data"], last["data"]);

    flushed(&daemon.delete(&format!("{shown}?dry_run=false")), 2);
    lists(&daemon, PATH, &contacts[2..]);
    flushed(&daemon.delete(&shown), 0);
    let mut command = daemon.command("flush");
    command.args(["odd.example.com", "--user", "x\u{fffd}y\u{fffd}", "--yes"]);
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("it can be run");
    assert!(output.status.success(), "{output:?}");
    lists(&daemon, PATH, &contacts[2..4]);
    let unknown = daemon.get(&format!("{PATH}/bin%EF%BF%BD"));
    assert_eq!(unknown.status, 404, "{}", unknown.text());
    agree(&kamailio, &daemon);
}

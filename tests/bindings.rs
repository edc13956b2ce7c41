//! Rows of one contact: each binding that Kamailio has is listed and counted, once.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use crate::oracle::{PATIENCE, agree, list, lists, of};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds, tools};

const AOR: &str = "alice@acme.example.com";
const CONTACT: &str = "sip:alice@192.0.2.60:5060;ob";
const INSTANCE: &str = "urn:uuid:00000000-0000-1000-8000-000a95a0e128";

fn acme() -> Account {
    Account::new("ac", "Acme", "acme.example.com")
}

/// Where Alice's registrations are listed.
fn alice() -> String {
    format!("{}/alice", of(&acme()))
}

/// A phone of Alice's with the contact that all of them have.
fn phone(kamailio: &Kamailio) -> Phone {
    Phone::of(kamailio, &acme().device("alice", 1)).contact(CONTACT)
}

/// The Call-IDs that Kamailio has of Alice, sorted.
fn in_memory(kamailio: &Kamailio) -> Vec<String> {
    let contacts = kamailio.lookup(AOR);
    let live = contacts
        .iter()
        .filter(|one| !matches!(one["Expires"].as_str(), Some("expired" | "deleted")));
    let mut found: Vec<String> = live
        .map(|one| one["Call-ID"].as_str().expect("a Call-ID").to_owned())
        .collect();
    found.sort();
    found
}

/// Waits until every list and count has these Call-IDs and no others.
#[track_caller]
fn shows(daemon: &Daemon, call_ids: &[&str]) {
    let all = "/v2/registrations".to_owned();
    for target in [all, of(&acme()), alice()] {
        eventually("the bindings are listed", PATIENCE, || {
            let items = list(daemon, &target);
            let mut found: Vec<&str> = items
                .iter()
                .map(|item| item["call_id"].as_str().expect("a Call-ID"))
                .collect();
            found.sort_unstable();
            holds(found == call_ids, || format!("{target}: {found:?}"))
        });
    }
    let count = daemon.get(&format!("{}/count", of(&acme()))).json();
    assert_eq!(count["data"]["count"], call_ids.len(), "{count}");
}

/// How often Kamailio was asked for an address of record.
fn look_ups(daemon: &Daemon) -> u64 {
    let name = r#"usrlocd_kamailio_rpc_calls_total{method="ul.lookup",outcome="ok"} "#;
    metric(daemon, name)
}

fn metric(daemon: &Daemon, name: &str) -> u64 {
    let text = daemon.request("GET", "/metrics", &[], b"").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

/// Waits until Kamailio has been asked again.
#[track_caller]
fn is_asked(daemon: &Daemon) {
    let before = look_ups(daemon);
    eventually("Kamailio is asked", PATIENCE, || {
        holds(look_ups(daemon) > before, || format!("{before} times"))
    });
}

/// Somebody who keeps Kamailio from writing, until this value is dropped.
struct Writer(Child);

impl Writer {
    fn begin(kamailio: &Kamailio) -> Self {
        let mut child = Command::new(tools::program("sqlite3"))
            .arg(kamailio.database())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sqlite3 starts");
        let input = child.stdin.as_mut().expect("the input is a pipe");
        input
            .write_all(b".timeout 10000\nbegin immediate;\nselect 'locked';\n")
            .expect("sqlite3 reads");
        let mut output = BufReader::new(child.stdout.take().expect("the output is a pipe"));
        let mut said = String::new();
        output.read_line(&mut said).expect("sqlite3 answers");
        assert!(said.contains("locked"), "{said}");
        Self(child)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The end of its input ends it; nothing was written.
        drop(self.0.stdin.take());
        let _ended = self.0.wait();
    }
}

/// A row that Kamailio failed to delete, and does not have: somebody else held a lock when the phone un-registered.
fn leave_a_row(kamailio: &Kamailio, mut phone: Phone) {
    phone.register();
    eventually("the row is written", PATIENCE, || {
        holds(kamailio.rows().len() == 1, || "it is not there".to_owned())
    });
    let writer = Writer::begin(kamailio);
    phone.unregister();
    eventually("Kamailio's memory has let go", PATIENCE, || {
        let left = kamailio.contacts_in_memory();
        holds(left == 0, || format!("{left} left"))
    });
    drop(writer);
    assert_eq!(kamailio.rows().len(), 1, "the row is a leftover");
}

/// Two flows of one phone over two edge proxies, without any `matching_mode`: Kamailio has both, and so has the list.
#[test]
fn two_flows_of_one_contact_are_two() {
    let kamailio = Kamailio::builder().outbound(true).start();
    let daemon = Daemon::builder(&kamailio).start();
    let flow = |reg_id: u32, edge: &str| {
        phone(&kamailio)
            .call_id(format!("flow{reg_id}"))
            .path(&format!("<sip:{edge}.example.net;lr;ob>"))
            .instance(INSTANCE, reg_id)
    };
    let mut second = flow(2, "edge2");
    flow(1, "edge1").register();
    second.register();
    assert_eq!(in_memory(&kamailio), ["flow1", "flow2"]);
    shows(&daemon, &["flow1", "flow2"]);
    let items = agree(&kamailio, &daemon);
    assert_eq!(items.len(), 2);
    assert_eq!(look_ups(&daemon), 0, "nothing is to be asked");
    second.register();
    agree(&kamailio, &daemon);
    shows(&daemon, &["flow1", "flow2"]);
    // When one is registered anew Kamailio lets go of the other; the list has what Kamailio has.
    flow(2, "edge2").call_id("flow2-again").register();
    assert_eq!(in_memory(&kamailio), ["flow2-again"]);
    shows(&daemon, &["flow2-again"]);
    agree(&kamailio, &daemon);
}

/// With `matching_mode` 1 a phone that restarts leaves its former binding behind: Kamailio rings both.
#[test]
fn call_ids_that_kamailio_tells_apart_are_two() {
    let mut kamailio = Kamailio::builder().matching_mode(1).start();
    let daemon = Daemon::builder(&kamailio).start();
    let (mut before, mut after) = (
        phone(&kamailio).call_id("before"),
        phone(&kamailio).call_id("after"),
    );
    before.register();
    after.register();
    assert_eq!(in_memory(&kamailio), ["after", "before"]);
    shows(&daemon, &["after", "before"]);
    is_asked(&daemon);
    shows(&daemon, &["after", "before"]);
    kamailio.kill9();
    kamailio.start();
    agree(&kamailio, &daemon);
    before.unregister();
    shows(&daemon, &["after"]);
    agree(&kamailio, &daemon);
}

#[test]
fn paths_that_kamailio_tells_apart_are_two() {
    let kamailio = Kamailio::builder().matching_mode(2).start();
    let daemon = Daemon::builder(&kamailio).start();
    let over = |edge: &str| {
        let path = format!("<sip:{edge}.example.net;lr>");
        phone(&kamailio).call_id(edge).path(&path)
    };
    let (mut first, mut second) = (over("edge1"), over("edge2"));
    first.register();
    second.register();
    shows(&daemon, &["edge1", "edge2"]);
    is_asked(&daemon);
    shows(&daemon, &["edge1", "edge2"]);
    agree(&kamailio, &daemon);
}

/// A leftover is listed until Kamailio says that it has another one; and again when Kamailio does not say so any more.
#[test]
fn a_leftover_of_the_same_contact_is_not_listed() {
    let mut kamailio = Kamailio::builder().start();
    leave_a_row(&kamailio, phone(&kamailio).call_id("old"));
    let mut daemon = Daemon::builder(&kamailio).start();
    shows(&daemon, &["old"]);
    let mut new = phone(&kamailio).call_id("new");
    new.register();
    eventually("both are in the table", PATIENCE, || {
        holds(kamailio.rows().len() == 2, || "one is not".to_owned())
    });
    assert_eq!(in_memory(&kamailio), ["new"]);
    shows(&daemon, &["new"]);
    let superseded = r#"usrlocd_registrations{state="superseded",transport=""} "#;
    assert_eq!(metric(&daemon, superseded), 1);
    // Each start asks anew.
    assert!(daemon.stop().success());
    daemon.start();
    shows(&daemon, &["new"]);
    // Nobody answers; then one answers that has loaded both.
    kamailio.kill9();
    shows(&daemon, &["new", "old"]);
    let log = "cannot ask Kamailio about duplicate rows";
    assert!(daemon.log().contains(log), "{}", daemon.log());
    kamailio.start();
    assert_eq!(in_memory(&kamailio), ["new", "old"]);
    is_asked(&daemon);
    shows(&daemon, &["new", "old"]);
    agree(&kamailio, &daemon);
}

#[test]
fn a_flush_takes_the_leftovers_of_its_contacts_along() {
    let kamailio = Kamailio::builder().start();
    leave_a_row(&kamailio, phone(&kamailio).call_id("old"));
    let mut daemon = Daemon::builder(&kamailio).start();
    phone(&kamailio).call_id("new").register();
    eventually("both are in the table", PATIENCE, || {
        holds(kamailio.rows().len() == 2, || "one is not".to_owned())
    });
    shows(&daemon, &["new"]);
    let answer = daemon.delete(&of(&acme()));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("X-Flushed"), Some("1"));
    assert!(list(&daemon, &alice()).is_empty());
    assert!(daemon.stop().success());
    daemon.start();
    assert!(list(&daemon, &of(&acme())).is_empty());
    let mut again = phone(&kamailio).call_id("again");
    again.register();
    shows(&daemon, &["again"]);
}

#[test]
fn without_json_rpc_all_are_listed() {
    let kamailio = Kamailio::builder().start();
    leave_a_row(&kamailio, phone(&kamailio).call_id("old"));
    let daemon = Daemon::builder(&kamailio)
        .rpc("http://127.0.0.1:1/RPC")
        .start();
    phone(&kamailio).call_id("new").register();
    shows(&daemon, &["new", "old"]);
    let log = "cannot ask Kamailio about duplicate rows";
    eventually("that is said", PATIENCE, || {
        holds(daemon.log().contains(log), || daemon.log())
    });
    shows(&daemon, &["new", "old"]);
    lists(
        &daemon,
        &of(&acme()),
        &[CONTACT.as_bytes(), CONTACT.as_bytes()],
    );
}

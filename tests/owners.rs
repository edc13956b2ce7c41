//! Registrations whose owner changes: what the tables say of them, or the directory. The former account loses what the
//! next one gets, in one moment.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::oracle::{PATIENCE, list, lists, of};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

/// What a large directory may add to the memory of a debug build, in KiB.
const LARGE: u64 = 200 * 1024;

/// A directory file beside a daemon.
struct Directory {
    folder: TempDir,
}

impl Directory {
    fn new(text: &str) -> Self {
        let folder = TempDir::with_prefix("usrlocd-directory-").expect("a temporary directory");
        let directory = Self { folder };
        directory.replace(text);
        directory
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("directory.json")
    }

    /// Puts a new file in the place of the old one, as an editor does.
    fn replace(&self, text: &str) {
        let beside = self.folder.path().join("new");
        fs::write(&beside, text).expect("ours");
        fs::rename(beside, self.file()).expect("ours");
    }

    fn section(&self) -> String {
        format!(
            "[directory]\nfile = {:?}\n",
            self.file().display().to_string()
        )
    }
}

fn ask(daemon: &Daemon, token: &str, target: &str) -> (u16, Value) {
    let answer = daemon.request("GET", target, &[("X-Auth-Token", token)], b"");
    (answer.status, answer.json()["data"].clone())
}

#[test]
fn attributes_of_another_account_move_a_registration() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let acme = Account::new("acc0", "Acme", "acme.example.com");
    let globex = Account::new("acc1", "Globex", "globex.example.com");
    let contact = "sip:shared@192.0.2.50:5060";
    let before = acme.device("shared", 1);
    let mut phone = Phone::of(&kamailio, &before).contact(contact);
    phone.register();
    let items = lists(&daemon, &of(&acme), &[contact.as_bytes()]);

    // The same phone, which is another account's by now.
    let mut phone = Phone::new(&kamailio, &before.username, &acme.realm)
        .attributes(&globex.device("shared", 2))
        .contact(contact);
    phone.register();
    let moved = lists(&daemon, &of(&globex), &[contact.as_bytes()]);
    assert_eq!(list(&daemon, &of(&acme)), [Value::Null; 0]);
    assert_eq!(moved[0]["ruid"], items[0]["ruid"], "it is the same row");
    assert_eq!(moved[0]["account_name"], "Globex");
    let count = daemon.get(&format!("{}/count", of(&acme)));
    assert_eq!(count.json()["data"]["count"], 0);
    assert_eq!(list(&daemon, "/v2/registrations").len(), 1);

    // Both users stay known, each to its account.
    for account in [&acme, &globex] {
        let user = daemon.get(&format!("{}/shared", of(account)));
        assert_eq!(user.status, 200, "{}", user.text());
    }
}

#[test]
fn directory_moves_registrations_and_access_in_one_moment() {
    // First P sees A's rows and not B's; then it may see A, whose rows are B's by then.
    const BEFORE: &str =
        r#"{"accounts": [{"id": "p"}, {"id": "a", "realm": "acme.example.com"}, {"id": "b"}]}"#;
    const AFTER: &str = r#"{"accounts": [{"id": "p"}, {"id": "a", "parent": "p"}, {"id": "b", "realm": "acme.example.com"}]}"#;
    const A: &str = "/v2/accounts/a/registrations";
    const B: &str = "/v2/accounts/b/registrations";
    let kamailio = Kamailio::builder().start();
    let directory = Directory::new(BEFORE);
    let daemon = Daemon::builder(&kamailio)
        .sections(&directory.section())
        .token("parent", "parent-token", &["p"], &["read"])
        .token("b", "b-token", &["b"], &["read"])
        .start();
    let mut phone = Phone::new(&kamailio, "bob", "acme.example.com");
    phone.register();
    let contact = phone.contact_uri().to_vec();
    lists(&daemon, A, &[&contact]);
    assert_eq!(ask(&daemon, "b-token", B).1, Value::Array(Vec::new()));
    assert_eq!(ask(&daemon, "parent-token", A).0, 403);

    directory.replace(AFTER);
    eventually("the parent may see the account", PATIENCE, || {
        let (status, rows) = ask(&daemon, "parent-token", A);
        // At no moment does it see what was the account's before.
        assert!(status == 403 || rows == Value::Array(Vec::new()), "{rows}");
        holds(status == 200, || format!("{status}"))
    });
    assert_eq!(ask(&daemon, "b-token", B).1[0]["username"], "bob");
    assert_eq!(list(&daemon, A), [Value::Null; 0]);
    assert_eq!(
        daemon.get(&format!("{A}/bob")).status,
        200,
        "known for an hour"
    );
    assert_eq!(list(&daemon, "/v2/registrations").len(), 1);

    directory.replace(BEFORE);
    lists(&daemon, A, &[&contact]);
    assert_eq!(ask(&daemon, "b-token", B).1, Value::Array(Vec::new()));
    assert_eq!(ask(&daemon, "parent-token", A).0, 403);
}

#[test]
fn large_directory_is_taken_over_while_tokens_change() {
    let kamailio = Kamailio::builder().start();
    let directory = Directory::new(r#"{"accounts": [{"id": "a", "realm": "acme.example.com"}]}"#);
    let daemon = Daemon::builder(&kamailio)
        .sections(&directory.section())
        .token("old", "old-token", &["*"], &["read"])
        .start();
    let mut phone = Phone::new(&kamailio, "user7", "acme.example.com");
    phone.register();
    let contact = phone.contact_uri().to_vec();
    let item = lists(&daemon, "/v2/accounts/a/registrations", &[&contact]).remove(0);
    assert!(item.get("owner_id").is_none(), "{item}");
    let before = daemon.process().resident();

    directory.replace(&large());
    daemon.replace_tokens(&[("lab", Daemon::TOKEN)]);
    eventually("the token is refused", PATIENCE, || {
        let (status, _) = ask(&daemon, "old-token", "/v2/registrations");
        holds(status == 401, || format!("{status}"))
    });
    eventually("the device is known", 3 * PATIENCE, || {
        let item = list(&daemon, "/v2/accounts/a/registrations").remove(0);
        holds(item["owner_id"] == "owner7", || item.to_string())
    });
    let log = daemon.log();
    assert!(log.contains("devices 0 -> 100000"), "{log}");
    let grown = daemon.process().resident().saturating_sub(before);
    assert!(grown < LARGE, "it takes {grown} KiB");
}

/// A directory of 100,000 devices.
fn large() -> String {
    let mut text =
        r#"{"accounts": [{"id": "a", "realm": "acme.example.com"}], "devices": ["#.to_owned();
    for number in 0..100_000 {
        let comma = if number == 0 { "" } else { "," };
        writeln!(
            text,
            "{comma}{{\"id\": \"{number:032x}\", \"account_id\": \"a\", \"username\": \"user{number}\", \"owner_id\": \"owner{number}\", \"presence_id\": \"{number}@acme.example.com\"}}"
        )
        .expect("a text takes all");
    }
    text.push_str("]}");
    text
}

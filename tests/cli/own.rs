//! What a token shows that may see some accounts: all of them, and those below, without one being named.

use std::fs;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::{err, out};
use crate::oracle::lists;
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::tools;

/// A system of three accounts, the second below the first, with a phone each; and a token for the first, one for
/// first and third, and one for an account that nobody knows.
struct Lab {
    daemon: Daemon,
    _kamailio: Kamailio,
    ids: [String; 3],
}

const TOKENS: [&str; 3] = [
    "first-token-0123456789",
    "some-token-0123456789",
    "void-token-0123456789",
];

fn lab() -> Lab {
    let kamailio = Kamailio::builder().start();
    let accounts = [
        Account::new("a1", "One", "one.example.com"),
        Account::new("b2", "Two", "two.example.com"),
        Account::new("c3", "Three", "three.example.com"),
    ];
    let mut contacts = Vec::new();
    for (account, user) in accounts.iter().zip(["ann", "Ben", "cem"]) {
        let mut phone = Phone::of(&kamailio, &account.device(user, 1));
        phone.register();
        contacts.push(phone.contact_uri().to_vec());
    }
    let ids = accounts.each_ref().map(|account| account.id.clone());
    let [one, two, three] = ids.each_ref().map(String::as_str);
    let mut daemon = Daemon::builder(&kamailio)
        .token("first", TOKENS[0], &[one], &["read"])
        .token("some", TOKENS[1], &[three, one], &["read"])
        .token("void", TOKENS[2], &["nobody", "nowhere"], &["read"])
        .prepare();
    let directory = daemon.file("directory.json");
    let text = format!(
        "{{\"accounts\": [{{\"id\": \"{one}\"}}, {{\"id\": \"{two}\", \"parent\": \"{one}\"}}]}}"
    );
    fs::write(&directory, text).expect("it is ours");
    let config = fs::read_to_string(daemon.config_file()).expect("it is ours");
    let more = format!(
        "[directory]\nfile = {:?}\n",
        directory.display().to_string()
    );
    fs::write(daemon.config_file(), config + &more).expect("it is ours");
    daemon.start();
    let contacts: Vec<&[u8]> = contacts.iter().map(Vec::as_slice).collect();
    lists(&daemon, "/v2/registrations", &contacts);
    Lab {
        daemon,
        _kamailio: kamailio,
        ids,
    }
}

impl Lab {
    fn ask(&self, token: &str, verb: &[&str]) -> Output {
        let file = self.daemon.file("token");
        fs::write(&file, token).expect("it is ours");
        let mut command = Command::new(tools::usrlocd());
        command.args(verb);
        command.args(["--url", &format!("http://{}", self.daemon.address())]);
        command.arg("--token-file").arg(file).stdin(Stdio::null());
        command.output().expect("usrlocd can be run")
    }

    #[track_caller]
    fn prints(&self, token: &str, verb: &[&str]) -> String {
        let output = self.ask(token, verb);
        assert_eq!(output.status.code(), Some(0), "{verb:?}: {}", err(&output));
        out(&output)
    }

    #[track_caller]
    fn users(&self, token: &str, verb: &[&str]) -> Vec<String> {
        let items: Vec<Value> =
            serde_json::from_str(&self.prints(token, verb)).expect("it is one array");
        let name = |item: &Value| item["username"].as_str().expect("a name").to_lowercase();
        items.iter().map(name).collect()
    }
}

#[test]
fn all_accounts_of_a_token_are_walked() {
    let lab = lab();
    let json = ["list", "-o", "json"];
    assert_eq!(
        lab.users(TOKENS[0], &json),
        ["ann", "ben"],
        "those below too"
    );
    assert_eq!(lab.users(TOKENS[1], &json), ["ann", "ben", "cem"]);
    assert_eq!(lab.users(TOKENS[2], &json), [""; 0]);
    for (token, count) in TOKENS.iter().zip(["2", "3", "0"]) {
        assert_eq!(lab.prints(token, &["count"]), format!("{count}\n"));
    }
    let csv = lab.prints(TOKENS[1], &["list", "-o", "csv"]);
    assert_eq!(csv.lines().count(), 4, "one row of names: {csv}");
    assert_eq!(csv.matches("username,").count(), 1, "{csv}");
    let accounts = lab.prints(TOKENS[0], &["accounts", "-o", "json"]);
    let accounts: Value = serde_json::from_str(&accounts).expect("it is JSON");
    let mut found: Vec<&str> = accounts
        .as_array()
        .expect("an array")
        .iter()
        .map(|it| it["id"].as_str().expect("an id"))
        .collect();
    found.sort_unstable();
    let mut expected = vec![&*lab.ids[0], &*lab.ids[1]];
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(accounts[0]["count"], 1);
}

#[test]
fn users_are_shown_whatever_the_case_and_account() {
    let lab = lab();
    for token in [TOKENS[0], TOKENS[1]] {
        for name in ["Ben", "ben", "BEN", "bEn@two.example.com"] {
            let users = lab.users(token, &["show", name, "-o", "json"]);
            assert_eq!(users, ["ben"], "{name}");
        }
    }
    let output = lab.ask(TOKENS[0], &["show", "cem"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
}

#[test]
fn changes_in_all_accounts_of_a_token_are_watched() {
    let lab = lab();
    let file = lab.daemon.file("token");
    fs::write(&file, TOKENS[1]).expect("it is ours");
    let mut watch = Command::new(tools::usrlocd())
        .args(["watch", "--initial", "-o", "ndjson"])
        .args(["--url", &format!("http://{}", lab.daemon.address())])
        .arg("--token-file")
        .arg(file)
        .stdout(Stdio::piped())
        .spawn()
        .expect("usrlocd can be run");
    let lines = std::io::BufReader::new(watch.stdout.take().expect("it is piped"));
    let lines = std::io::BufRead::lines(lines).take(3);
    let mut users: Vec<String> = lines
        .map(|line| serde_json::from_str(&line.expect("it goes on")).expect("it is JSON"))
        .map(|line: Value| line["username"].as_str().expect("a name").to_lowercase())
        .collect();
    // Their order is that of the bytes of names.
    users.sort();
    assert_eq!(users, ["ann", "ben", "cem"]);
    watch.kill().expect("it runs");
    watch.wait().expect("it ends");
}

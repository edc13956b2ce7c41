//! An account on the command line: its id, or a realm or name that only one account has.

use std::process::{Command, Output, Stdio};

use super::{ends, err, out};
use crate::oracle::lists;
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::tools;

const TOKEN: &str = "first-token-0123456789";

/// Four accounts with a phone each; two of them have one name, and the id of the last is the first one's name.
struct Lab {
    daemon: Daemon,
    _kamailio: Kamailio,
    ids: [String; 4],
}

fn lab() -> Lab {
    let kamailio = Kamailio::builder().start();
    let mut accounts = [
        Account::new("a1", "Acme", "acme.example.com"),
        Account::new("b2", "Same", "b.example.com"),
        Account::new("c3", "Same", "c.example.com"),
        Account::new("d4", "Last", "d.example.com"),
    ];
    "b.example.com".clone_into(&mut accounts[3].id);
    let mut contacts = Vec::new();
    for (account, user) in accounts.iter().zip(["ann", "ben", "cem", "dan"]) {
        let mut phone = Phone::of(&kamailio, &account.device(user, 1));
        phone.register();
        contacts.push(phone.contact_uri().to_vec());
    }
    let ids = accounts.each_ref().map(|account| account.id.clone());
    let daemon = Daemon::builder(&kamailio)
        .token("first", TOKEN, &[&ids[0]], &["read"])
        .start();
    let contacts: Vec<&[u8]> = contacts.iter().map(Vec::as_slice).collect();
    lists(&daemon, "/v2/registrations", &contacts);
    Lab {
        daemon,
        _kamailio: kamailio,
        ids,
    }
}

impl Lab {
    fn verb(&self, args: &[&str]) -> Output {
        let mut command = self.daemon.command(args[0]);
        command.args(&args[1..]).stdin(Stdio::null());
        command.output().expect("usrlocd can be run")
    }

    #[track_caller]
    fn prints(&self, args: &[&str]) -> String {
        let output = self.verb(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", err(&output));
        out(&output)
    }
}

#[test]
fn a_realm_or_name_will_do_where_only_one_account_has_it() {
    let lab = lab();
    for word in [
        &*lab.ids[0],
        "Acme",
        "acme",
        "acme.example.com",
        "ACME.example.COM",
    ] {
        let listed = lab.prints(&["list", word]);
        assert_eq!(listed.lines().count(), 1, "{word}: {listed}");
        assert!(listed.contains("\"ann\""), "{word}: {listed}");
        assert_eq!(lab.prints(&["count", word]), "1\n", "{word}");
        let shown = lab.prints(&["show", "ann", "--account", word]);
        assert!(shown.contains("\"ann\""), "{word}: {shown}");
    }
    let listed = lab.prints(&["list", "b.example.com"]);
    assert!(listed.contains("\"dan\""), "an id wins: {listed}");
    let candidates = lab.verb(&["count", "same"]);
    for word in ["2 accounts have", &lab.ids[1], "b.example.com", &lab.ids[2]] {
        ends(&candidates, 1, word);
    }
    ends(&lab.verb(&["list", "Acmee"]), 1, "did you mean `Acme`?");
    ends(&lab.verb(&["watch", "nowhere"]), 1, "no account `nowhere`");
}

#[test]
fn a_flush_by_name_is_of_that_account_alone() {
    let lab = lab();
    let of = format!("account Acme ({})\n", lab.ids[0]);
    let would = lab.prints(&["flush", "Acme", "--dry-run"]);
    assert_eq!(would, format!("would flush 1 registration of {of}"));
    ends(&lab.verb(&["flush", "Same", "--yes"]), 1, "2 accounts have");
    ends(
        &lab.verb(&["flush", "Acmee", "--yes"]),
        1,
        "did you mean `Acme`?",
    );
    let nobody = lab.verb(&["flush", "Acme", "--user", "nobody", "--yes"]);
    ends(&nobody, 1, "no user `nobody`");
    assert_eq!(lab.prints(&["count"]), "4\n", "nothing went");
    let done = lab.prints(&["flush", "acme.example.com", "--user", "ann", "--yes"]);
    let of = of.replace("account Acme", "user ann of account acme.example.com");
    assert_eq!(done, format!("flushed 1 registration of {of}"));
    assert_eq!(lab.prints(&["count"]), "3\n");
}

#[test]
fn a_token_knows_the_names_of_its_accounts_alone() {
    let lab = lab();
    let file = lab.daemon.file("token");
    std::fs::write(&file, TOKEN).expect("it is ours");
    let ask = |verb: &[&str]| {
        let mut command = Command::new(tools::usrlocd());
        command.args(verb);
        command.args(["--url", &format!("http://{}", lab.daemon.address())]);
        command.arg("--token-file").arg(&file).stdin(Stdio::null());
        command.output().expect("usrlocd can be run")
    };
    assert_eq!(out(&ask(&["count", "Acme"])), "1\n");
    ends(&ask(&["count", "Last"]), 77, "does not permit this");
    ends(
        &ask(&["flush", "Acme", "--yes"]),
        77,
        "does not permit this",
    );
}

#[test]
fn names_are_completed_once_something_is_typed() {
    let lab = lab();
    let offers = |word: &str| {
        let output = Command::new(tools::usrlocd())
            .env("_USRLOCD_COMPLETE", "bash")
            .env("_CLAP_IFS", " ")
            .env("_CLAP_COMPLETE_INDEX", "2")
            .env("USRLOCD_CONFIG", lab.daemon.config_file())
            .args(["--", "usrlocd", "count", word])
            .output()
            .expect("usrlocd can be run");
        out(&output)
    };
    assert_eq!(offers("Ac"), "Acme");
    assert_eq!(offers("acme"), "acme.example.com");
    assert_eq!(offers("Sa"), "", "two have it");
    assert!(!offers("").contains("Acme"));
}

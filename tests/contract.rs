//! What `/openapi.json` says and what the API does are the same: schemathesis asks the real thing, beside a real
//! Kamailio with phones, for all that the description allows and much that it does not. `make contract` runs this.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::oracle::{lists, of};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

/// Sees and does all.
const ALL: &str = Daemon::TOKEN;
/// Has one account, that of whoever is flushed.
const ONE: &str = "one-token-0123456789abcdef";

/// A Kamailio that has just started is not believed for 30 s when it does not know somebody.
const BELIEF: Duration = Duration::from_secs(60);

/// The account whose phones stay, and the one whose phones are flushed.
fn accounts() -> [Account; 2] {
    [
        Account::new("ac", "Acme", "acme.example.com"),
        Account::new("f1", "Flushed", "flushed.example.com"),
    ]
}

/// The directory: a user of each account is known before and after its phone is there.
fn directory() -> String {
    let accounts = accounts();
    let account = |one: &Account| json!({"id": one.id, "name": one.name, "realm": one.realm});
    let device = |one: &Account| {
        let device = one.device("alice", 1);
        json!({"id": device.id, "account_id": one.id, "username": device.username})
    };
    json!({
        "accounts": accounts.iter().map(account).collect::<Vec<_>>(),
        "devices": accounts.iter().map(device).collect::<Vec<_>>(),
    })
    .to_string()
}

fn schemathesis() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/contract/bin/schemathesis");
    assert!(
        program.is_file(),
        "schemathesis is not installed; `make contract` does it"
    );
    program
}

/// Runs it with this configuration and token.
fn run(daemon: &Daemon, config: &str, token: &str, arguments: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract");
    let [stays, flushed] = accounts();
    let status = Command::new(schemathesis())
        .arg("--config-file")
        .arg(folder.join(config))
        .arg("run")
        .arg(format!("http://{}/openapi.json", daemon.address()))
        .args(arguments)
        .env("USRLOCD_TOKEN", token)
        .env("USRLOCD_STAYS", &stays.id)
        .env("USRLOCD_FLUSHED", &flushed.id)
        // Nothing but loopback is to be asked.
        .env("no_proxy", "*")
        .current_dir(daemon.file(""))
        .status()
        .expect("schemathesis starts");
    assert!(status.success(), "{config} {arguments:?}: {status}");
}

#[test]
#[ignore = "takes minutes, and schemathesis; `make contract` runs it"]
fn the_description_is_what_the_api_does() {
    let kamailio = Kamailio::builder().start();
    let [stays, flushed] = accounts();
    let daemon = Daemon::builder(&kamailio)
        .token("one", ONE, &[&flushed.id], &["read", "flush"])
        .sections(
            "[directory]
file = \"directory.json\"

[limits]
requests = { burst = 1, per_second = 0 }
deletes = { burst = 1, per_second = 0 }
failures = { burst = 1, per_second = 0 }
",
        )
        .prepare();
    let mut daemon = daemon;
    fs::write(daemon.file("directory.json"), directory()).expect("an own directory is writable");
    let config = fs::read_to_string(daemon.config_file()).expect("it was written");
    let named = daemon.file("directory.json").display().to_string();
    let config = config.replace("\"directory.json\"", &format!("{named:?}"));
    fs::write(daemon.config_file(), config).expect("an own directory is writable");
    daemon.start();
    let mut phones = Vec::new();
    for account in [&stays, &flushed] {
        for (user, number) in [("alice", 1), ("bob", 2), ("Carol", 3)] {
            phones.push(Phone::of(&kamailio, &account.device(user, number)));
        }
    }
    phones.iter_mut().for_each(Phone::register);
    let contacts: Vec<&[u8]> = phones[..3].iter().map(Phone::contact_uri).collect();
    lists(&daemon, &of(&stays), &contacts);
    eventually("flushes are certain", BELIEF, || {
        let answer = daemon.delete(&format!("{}/alice", of(&flushed)));
        holds(answer.status == 200, || answer.text())
    });

    run(
        &daemon,
        "known.toml",
        ALL,
        &["--exclude-path-regex", "^/v2/account/"],
    );
    run(
        &daemon,
        "known.toml",
        ONE,
        &["--include-path-regex", "^/v2/account/"],
    );
    run(
        &daemon,
        "anybody.toml",
        ALL,
        &["--include-path-regex", "^/v2/accounts/"],
    );

    assert_eq!(daemon.get("/livez").status, 200);
    lists(&daemon, &of(&stays), &contacts);
    let log = daemon.log();
    assert!(!log.contains("panicked"), "{log}");
}

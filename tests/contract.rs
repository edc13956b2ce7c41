//! What `/openapi.json` says and what the API does are the same: schemathesis asks the real thing, beside a real
//! Kamailio with phones, for all that the description allows and much that it does not. `make contract` runs this.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::fleet_answers::{Site, phone};
use crate::oracle::{PATIENCE, lists, of};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds, unix_now};

/// Sees and does all.
const ALL: &str = Daemon::TOKEN;
/// Has one account, that of whoever is flushed.
const ONE: &str = "one-token-0123456789abcdef";

/// A Kamailio that has just started is not believed for 30 s when it does not know somebody.
const BELIEF: Duration = Duration::from_mins(1);

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

/// The `next_start_key` of a list, which must have more than one item, in the order of user names.
fn start_key(daemon: &Daemon, list: &str) -> String {
    let target = format!("{list}?page_size=1&sort=username");
    let mut key = None;
    eventually("the list has more than one item", PATIENCE, || {
        let page = daemon.get(&target).json();
        key = page["next_start_key"].as_str().map(str::to_owned);
        holds(key.is_some(), || page.to_string())
    });
    key.expect("it was waited for")
}

/// The path of an account's history.
fn events(account: &Account) -> String {
    format!("/v2/accounts/{}/history", account.id)
}

/// What the configurations take from the environment.
fn environment(daemon: &Daemon) -> Vec<(&'static str, String)> {
    let [stays, flushed] = accounts();
    let key = |list: &str| start_key(daemon, list);
    vec![
        ("USRLOCD_STAYS", stays.id.clone()),
        ("USRLOCD_FLUSHED", flushed.id.clone()),
        ("USRLOCD_KEY", key(&of(&stays))),
        ("USRLOCD_KEY_OF_USER", key(&format!("{}/alice", of(&stays)))),
        ("USRLOCD_KEY_OF_ALL", key("/v2/registrations")),
        ("USRLOCD_KEY_OF_OWN", key(&of(&flushed))),
        (
            "USRLOCD_KEY_OF_OWN_USER",
            key(&format!("{}/alice", of(&flushed))),
        ),
        ("USRLOCD_EVENTS", key(&events(&stays))),
        (
            "USRLOCD_EVENTS_OF_USER",
            key(&format!("{}/alice/history", of(&stays))),
        ),
        ("USRLOCD_EVENTS_OF_ALL", key("/v2/history")),
        ("USRLOCD_EVENTS_OF_OWN", key(&events(&flushed))),
        (
            "USRLOCD_EVENTS_OF_OWN_USER",
            key(&format!("{}/alice/history", of(&flushed))),
        ),
        // Nothing but loopback is to be asked.
        ("no_proxy", "*".to_owned()),
    ]
}

/// Runs it with this configuration and token, for these paths.
fn run(daemon: &Daemon, environment: &[(&str, String)], config: &str, token: &str, paths: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract");
    let status = Command::new(schemathesis())
        .arg("--config-file")
        .arg(folder.join(config))
        .arg("run")
        .arg(format!("http://{}/openapi.json", daemon.address()))
        .args(paths)
        .env("USRLOCD_TOKEN", token)
        .envs(environment.iter().cloned())
        .current_dir(daemon.file(""))
        .status()
        .expect("schemathesis starts");
    assert!(status.success(), "{config} {paths:?}: {status}");
}

/// The limits of a usrlocd that is asked for much at once.
const LIMITS: &str = "
[limits]
requests = { burst = 1, per_second = 0 }
deletes = { burst = 1, per_second = 0 }
failures = { burst = 1, per_second = 0 }
";

/// What `usrlocd fleet` describes is what it does: it reads lists, counts, flapping phones and nodes.
#[test]
#[ignore = "takes minutes, and schemathesis; `make contract` runs it"]
fn the_description_of_the_fleet_is_what_it_answers() {
    let site = Site::new();
    let now = unix_now();
    for (name, user) in [("k1", "alice"), ("k2", "bob")] {
        site.node(name, 0);
        site.set(name, "beat_at = now() + interval '1 hour'");
        let contact = format!("sip:{user}@192.0.2.1");
        let one = phone(user, "fleet.test", &contact, user, now - 10, now + 3600);
        site.publish(name, &one);
    }
    site.set("k2", "beat_at = now() - interval '1 hour'");
    let daemon = Daemon::fleet(&site.server.url()).sections(LIMITS).start();
    let key = |list: &str| start_key(&daemon, list);
    let environment = vec![
        ("USRLOCD_KEY", key("/v2/accounts/fleet.test/registrations")),
        ("USRLOCD_KEY_OF_ALL", key("/v2/registrations")),
        ("no_proxy", "*".to_owned()),
    ];
    let paths = "^/v2/(nodes|(accounts/.account./)?(registrations(/count)?|flapping)$)";
    let read = [
        "--include-path-regex",
        paths,
        "--exclude-method",
        "DELETE",
        "--exclude-method",
        "POST",
    ];
    run(&daemon, &environment, "fleet.toml", ALL, &read);
    let log = daemon.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
#[ignore = "takes minutes, and schemathesis; `make contract` runs it"]
fn the_description_is_what_the_api_does() {
    let kamailio = Kamailio::builder().start();
    let [stays, flushed] = accounts();
    let mut daemon = Daemon::builder(&kamailio)
        .token("one", ONE, &[&flushed.id], &["read", "flush"])
        .sections(
            "[directory]
file = \"directory.json\"
",
        )
        .sections(LIMITS)
        .prepare();
    fs::write(daemon.file("directory.json"), directory()).expect("an own directory is writable");
    let config = fs::read_to_string(daemon.config_file()).expect("it was written");
    let named = daemon.file("directory.json").display().to_string();
    let config = config.replace("\"directory.json\"", &format!("{named:?}"));
    fs::write(daemon.config_file(), config).expect("an own directory is writable");
    daemon.start();
    let mut phones = Vec::new();
    for account in [&stays, &flushed] {
        for (user, number) in [("alice", 1), ("alice", 1), ("bob", 2), ("Carol", 3)] {
            phones.push(Phone::of(&kamailio, &account.device(user, number)));
        }
    }
    phones.iter_mut().for_each(Phone::register);
    let contacts: Vec<&[u8]> = phones[..4].iter().map(Phone::contact_uri).collect();
    lists(&daemon, &of(&stays), &contacts);
    let others: Vec<&[u8]> = phones[4..].iter().map(Phone::contact_uri).collect();
    lists(&daemon, &of(&flushed), &others);
    let environment = environment(&daemon);
    eventually("flushes are certain", BELIEF, || {
        let answer = daemon.delete(&format!("{}/alice", of(&flushed)));
        holds(answer.status == 200, || answer.text())
    });

    for (config, token, paths) in [
        (
            "known.toml",
            ALL,
            ["--exclude-path-regex", "^/v2/(account/|nodes)"],
        ),
        ("known.toml", ONE, ["--include-path-regex", "^/v2/account/"]),
        (
            "anybody.toml",
            ALL,
            ["--include-path-regex", "^/v2/accounts/"],
        ),
    ] {
        run(&daemon, &environment, config, token, &paths);
    }

    assert_eq!(daemon.get("/livez").status, 200);
    lists(&daemon, &of(&stays), &contacts);
    let log = daemon.log();
    assert!(!log.contains("panicked"), "{log}");
}

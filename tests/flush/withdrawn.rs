//! Tokens and directory change in the middle of a flush.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::middle::{Fate, Middle};
use super::{LONG, acme, flushed, refused};
use crate::oracle::{PATIENCE, list, lists, of};
use crate::support::daemon::Daemon;
use crate::support::http::Response;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

/// The token that flushes.
const THEIRS: &str = "their-token-0123456789abcdef";

/// Somebody in the middle, who keeps the reply to a call back.
struct Pause {
    middle: Middle,
    reached: Receiver<()>,
    go_on: SyncSender<()>,
}

impl Pause {
    /// That of the `number`th call of this method.
    fn at(kamailio: &Kamailio, method: &'static str, number: usize) -> Self {
        let (reached, is_reached) = sync_channel(1);
        let (go_on, may) = sync_channel::<()>(1);
        let (may, calls) = (Mutex::new(may), AtomicUsize::new(0));
        let middle = Middle::of(kamailio, move |called, _| {
            if called == method && calls.fetch_add(1, Ordering::SeqCst) + 1 == number {
                reached.send(()).expect("the test waits");
                // A test that fails says nothing, and lets it go on as well.
                let _ended = may.lock().expect("nobody panics").recv();
            }
            Fate::Pass
        });
        Self {
            middle,
            reached: is_reached,
            go_on,
        }
    }

    /// What the flush of `target` is answered while `happens` in its middle.
    fn flush(&self, daemon: &Daemon, target: &str, happens: impl FnOnce()) -> Response {
        let headers = [("X-Auth-Token", THEIRS)];
        std::thread::scope(|scope| {
            let flush = scope.spawn(|| daemon.request("DELETE", target, &headers, b""));
            let reached = self.reached.recv_timeout(PATIENCE);
            reached.expect("the flush gets there");
            happens();
            self.go_on.send(()).expect("the middle waits");
            flush.join().expect("the flush is answered")
        })
    }
}

/// A usrlocd that asks by way of the pause, for one address of record after the other.
fn daemon(kamailio: &Kamailio, pause: &Pause, account: &str) -> Daemon {
    let daemon = Daemon::builder(kamailio)
        .rpc(&pause.middle.rpc_url())
        .environment("USRLOCD_KAMAILIO__RPC_TIMEOUT", "60s")
        .sections("[flush]\nconcurrency = 1\n")
        .token("theirs", THEIRS, &[account], &["read", "flush"])
        .prepare();
    let config = fs::read_to_string(daemon.config_file()).expect("it was written");
    let directory = daemon.file("directory.json").display().to_string();
    let config = format!("{config}\n[directory]\nfile = {directory:?}\n");
    fs::write(daemon.config_file(), config).expect("an own directory is writable");
    daemon
}

/// Puts another directory in the place of the old one, as an editor does.
fn replace_directory(daemon: &Daemon, accounts: &str, devices: &str) {
    let (file, new) = (daemon.file("directory.json"), daemon.file("new.json"));
    let text = format!("{{\"accounts\": [{accounts}], \"devices\": [{devices}]}}");
    fs::write(&new, text).expect("an own directory is writable");
    fs::rename(new, file).expect("an own directory is writable");
}

/// Takes the token away and waits until it is refused.
fn revoke(daemon: &Daemon) {
    daemon.replace_tokens(&[("lab", Daemon::TOKEN)]);
    eventually("the token is refused", PATIENCE, || {
        let headers = [("X-Auth-Token", THEIRS)];
        let status = daemon.request("GET", &of(&acme()), &headers, b"").status;
        holds(status == 401, || status.to_string())
    });
}

/// Six phones of an account, and who is left of them in Kamailio after a flush in whose middle their token is revoked.
fn revoked_at(method: &'static str, number: usize) -> (Daemon, Response, Vec<String>) {
    let kamailio = Kamailio::builder().start();
    let pause = Pause::at(&kamailio, method, number);
    let mut daemon = daemon(&kamailio, &pause, &acme().id);
    replace_directory(&daemon, "", "");
    daemon.start();
    let phones = super::faults::register(&kamailio, &daemon, 6);
    let answer = pause.flush(&daemon, &of(&acme()), || revoke(&daemon));
    let names = (0..6).map(|number| format!("u{number:02}"));
    let left = names.filter(|name| {
        let aor = format!("{name}@{}", acme().realm);
        !kamailio.lookup(aor).is_empty()
    });
    let left: Vec<String> = left.collect();
    let listed: Vec<_> = list(&daemon, &of(&acme()))
        .iter()
        .map(|item| item["username"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(listed, left, "what is left is listed, and nothing else");
    drop(phones);
    (daemon, answer, left)
}

#[test]
fn nothing_more_goes_once_the_token_is_revoked() {
    let (daemon, answer, left) = revoked_at("ul.rm", 3);
    // The third is asked for already.
    assert_eq!(left, ["u03", "u04", "u05"]);
    refused(&answer, 502, "flush_incomplete");
    let data = &answer.json()["data"];
    assert_eq!(
        (&data["flushed"], &data["failed_total"]),
        (&3.into(), &3.into())
    );
    for failed in data["failed"].as_array().expect("a list") {
        let reason = failed["reason"].as_str().expect("a reason");
        assert!(reason.contains("withdrawn"), "{reason}");
    }
    assert!(super::audit(&daemon).ends_with("|3|3\n"));
}

#[test]
fn where_nothing_has_gone_yet_the_token_is_simply_refused() {
    let (daemon, answer, left) = revoked_at("ul.lookup", 1);
    assert_eq!(left.len(), 6);
    refused(&answer, 401, "invalid_credentials");
    assert!(super::audit(&daemon).ends_with("|0|6\n"));
}

const ACME: &str = r#"{"id": "acme", "realm": "acme.example.com"}, {"id": "globex"}"#;
const GLOBEX: &str = r#"{"id": "acme"}, {"id": "globex", "realm": "acme.example.com"}"#;
const OF_ACME: &str = "/v2/accounts/acme/registrations";
const OF_GLOBEX: &str = "/v2/accounts/globex/registrations";

#[test]
fn the_phones_of_a_new_owner_stay_registered() {
    let kamailio = Kamailio::builder().start();
    let pause = Pause::at(&kamailio, "ul.lookup", 1);
    let mut daemon = daemon(&kamailio, &pause, "acme");
    replace_directory(&daemon, ACME, "");
    daemon.start();
    let mut phones = ["alice", "bob"].map(|user| Phone::new(&kamailio, user, "acme.example.com"));
    phones.iter_mut().for_each(Phone::register);
    let contacts = phones.each_ref().map(Phone::contact_uri);
    lists(&daemon, OF_ACME, &contacts);
    let answer = pause.flush(&daemon, OF_ACME, || {
        replace_directory(&daemon, GLOBEX, "");
        lists(&daemon, OF_GLOBEX, &contacts);
    });
    // They are neither the account's to count nor missing.
    flushed(&answer, 0);
    for phone in &phones {
        assert_eq!(kamailio.lookup(phone.aor()).len(), 1);
    }
    lists(&daemon, OF_GLOBEX, &contacts);
}

#[test]
fn so_does_one_that_has_no_row_yet() {
    let kamailio = Kamailio::builder().timer_interval(LONG).start();
    let pause = Pause::at(&kamailio, "ul.lookup", 1);
    let mut daemon = daemon(&kamailio, &pause, "acme");
    let device = |account: &str| {
        format!(r#"{{"id": "d1", "account_id": "{account}", "username": "carol"}}"#)
    };
    replace_directory(&daemon, ACME, &device("acme"));
    daemon.start();
    let mut carol = Phone::new(&kamailio, "carol", "acme.example.com");
    carol.register();
    assert!(kamailio.rows().is_empty(), "the timer has not come");
    let answer = pause.flush(&daemon, &format!("{OF_ACME}/carol"), || {
        replace_directory(&daemon, GLOBEX, &device("globex"));
        eventually("the directory is taken over", PATIENCE, || {
            let status = daemon.get(&format!("{OF_GLOBEX}/carol")).status;
            holds(status == 200, || status.to_string())
        });
    });
    flushed(&answer, 0);
    assert_eq!(kamailio.lookup(carol.aor()).len(), 1);
    // The new owner may.
    flushed(&daemon.delete(&format!("{OF_GLOBEX}/carol")), 0);
    assert!(kamailio.lookup(carol.aor()).is_empty());
}

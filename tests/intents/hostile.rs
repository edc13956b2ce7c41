//! Rights and identities: who may not write asks nothing, and who is fenced claims nothing.

use std::fs;
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{ALL, Site, acme, flushed};
use crate::fleet::node;
use crate::oracle::{PATIENCE, list, of};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::{eventually, holds};

/// Of a database that may only be read the caller is told so, and lists go on.
#[test]
fn who_may_only_read_the_database_asks_nothing() {
    let site = Site::of(1);
    let acme = acme();
    let mut alice = Phone::of(&site.kamailios[0], &acme.device("alice", 1));
    alice.register();
    site.lists(1);
    site.server
        .query("REVOKE INSERT ON usrlocd.intent FROM usrlocd");
    let answer = site.fleet.delete(&of(&acme));
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.json()["message"], "fleet_read_only");
    let words = "a flush or NOTIFY for the fleet was refused";
    assert!(site.fleet.log().contains(words), "{}", site.fleet.log());
    site.lists(1);
    site.server
        .query("REVOKE ALL ON usrlocd.intent FROM usrlocd");
    eventually("the node says so, and publishes", PATIENCE, || {
        let log = site.nodes[0].log();
        holds(log.contains("cannot look for what the fleet asks"), || log)
    });
    let mut bob = Phone::of(&site.kamailios[0], &acme.device("bob", 2));
    bob.register();
    site.lists(2);
    site.server.query("GRANT ALL ON usrlocd.intent TO usrlocd");
    flushed(&site.fleet.delete(&of(&acme)), 2);
}

/// What is written to the database by hand: a header in place of an event is refused by the node, what is past its time is
/// left alone, and what a phone does not have is not flushed.
#[test]
fn what_is_forged_does_no_more_than_a_flush_may() {
    let site = Site::of(1);
    let acme = acme();
    let mut alice = Phone::of(&site.kamailios[0], &acme.device("alice", 1));
    alice.register();
    site.lists(1);
    let heard = alice.answering(Some("200 OK"));
    let ruid = list(&site.fleet, ALL)[0]["ruid"].clone();
    let rows = json!([{
        "table": "location", "ruid": ruid, "username": "alice", "domain": acme.realm,
    }]);
    let part = |account: &str| {
        let actor = json!({
            "token": "forged", "client": "-", "request_id": "f", "account_id": account,
            "username": null, "filters": "",
        });
        json!({"actor": actor, "exactly": true, "rows": rows})
    };
    let ask = |seconds: i32, work: &Value| {
        site.server.query(&format!(
            "INSERT INTO usrlocd.intent SELECT gen_random_uuid(), id, 'x', 'forged', 'f', '{work}', now(), now() + interval '{seconds} seconds', 'asked' FROM usrlocd.node",
        ));
    };
    ask(-1, &json!({"flush": [part(&acme.id)]}));
    let event = "check-sync\r\nEvil: 1";
    ask(
        10,
        &json!({"notify": {"event": event, "part": part(&acme.id)}}),
    );
    ask(10, &json!({"flush": [part("another")]}));
    ask(10, &json!({"reboot": []}));
    eventually("three are done", PATIENCE, || {
        let states = site.intents("state, outcome");
        holds(states.matches("done|").count() == 3, || states.clone())
    });
    let told = site.intents("state, outcome");
    for words in [
        "asked|",
        "[notify] events of the node does not allow it",
        "\"flushed\":0,\"failed\":[]",
        "does not know the request",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(site.has(0, &alice) && heard.heard().is_empty());
    assert!(site.intents("state").starts_with("asked") && !told.contains("expired"));

    // A whole address of record goes even if its phone has registered anew since it was chosen.
    let mut whole = part(&acme.id);
    whole["exactly"] = false.into();
    whole["rows"][0]["ruid"] = "gone".into();
    ask(10, &json!({"flush": [whole]}));
    eventually("alice is let go", PATIENCE, || {
        holds(!site.has(0, &alice), || site.intents("state, outcome"))
    });
}

/// A process whose place another one has taken claims nothing, even before it knows.
#[test]
fn a_fenced_process_claims_nothing() {
    let site = Site::of(1);
    let acme = acme();
    let first = &site.nodes[0];
    let mut alice = Phone::of(&site.kamailios[0], &acme.device("alice", 1));
    alice.register();
    site.lists(1);
    first.signal(Signal::STOP);

    let other = Kamailio::builder().start();
    let mut copy = node(&other, &site.server.url(), "k1").prepare();
    let mut bob = Phone::of(&other, &acme.device("bob", 2));
    bob.register();
    let id = |daemon: &Daemon| daemon.store().with_file_name("fleet-id");
    let folder = copy.store();
    fs::create_dir_all(folder.parent().expect("it is in a folder")).expect("it can be made");
    fs::copy(id(first), id(&copy)).expect("the node has an identity");
    copy.start();
    eventually("the copy publishes its own", PATIENCE, || {
        let answer = site.fleet.get(&of(&acme));
        let body = answer.json();
        let is_bobs = body["page_size"] == 1 && body["data"][0]["username"] == "bob";
        holds(is_bobs && body["data"][0]["node_state"] == "live", || {
            answer.text()
        })
    });

    copy.signal(Signal::STOP);
    let (address, path) = (site.fleet.address(), of(&acme));
    let headers = [("X-Auth-Token", Daemon::TOKEN)];
    let asking = thread::spawn(move || {
        crate::support::http::request(address, "DELETE", &path, &headers, b"")
    });
    eventually("it is asked", PATIENCE, || {
        let state = site.intents("state");
        holds(state == "asked", || state.clone())
    });
    first.signal(Signal::CONT);
    eventually("it knows that it is fenced", PATIENCE, || {
        let log = first.log();
        holds(
            log.contains("has started with the identity of this node"),
            || log,
        )
    });
    assert_eq!(site.intents("state"), "asked", "the fenced process took it");
    copy.signal(Signal::CONT);
    flushed(&asking.join().expect("no panic").expect("an answer"), 1);
    assert_eq!(site.intents("claimed_epoch, state"), "2|done");
    assert!(site.has(0, &alice) && other.lookup(bob.aor()).is_empty());
}

//! Flushes and NOTIFYs over the fleet: real Kamailios with their nodes, a database, and a `usrlocd fleet` that asks.

mod hostile;
mod late;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use usrlocd::clock::{Clock, SystemClock};

use crate::fleet::{migrate, node};
use crate::oracle::{PATIENCE, list, of};
use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::http::Response;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::server::Server;
use crate::support::table::Table;
use crate::support::{eventually, holds, tools};

const ALL: &str = "/v2/registrations";

const READ_ONLY: &str = "read-token-0123456789abcdef";
const GLOBEX: &str = "globex-token-0123456789abcdef";

fn acme() -> Account {
    Account::new("ac", "Acme", "acme.example.com")
}

fn globex() -> Account {
    Account::new("91be", "Globex", "globex.example.com")
}

/// A database, Kamailios with their nodes `k1`, `k2` …, and whoever asks them.
struct Site {
    server: Arc<Server>,
    kamailios: Vec<Kamailio>,
    nodes: Vec<Daemon>,
    fleet: Daemon,
}

impl Site {
    fn of(nodes: usize) -> Self {
        let server = Server::for_fleet();
        migrate(&server);
        let kamailios: Vec<_> = (0..nodes)
            .map(|_| Kamailio::builder().tm(30_000).start())
            .collect();
        let numbered = kamailios.iter().zip(1..);
        let start = |(kamailio, number): (&Kamailio, u32)| {
            let node = node(kamailio, &server.url(), &format!("k{number}"));
            node.sections("[notify]\ntimeout = \"1s\"\n").start()
        };
        let nodes = numbered.map(start).collect();
        let fleet = Daemon::fleet(&server.url())
            .token("reader", READ_ONLY, &["*"], &["read"])
            .token("globex", GLOBEX, &[&globex().id], &["read", "flush"])
            .start();
        Self {
            server,
            kamailios,
            nodes,
            fleet,
        }
    }

    /// Waits until the fleet lists so many registrations, each on a live node and, where it has one, in its account.
    #[track_caller]
    fn lists(&self, count: usize) {
        eventually("the fleet lists them", PATIENCE, || {
            let items = list(&self.fleet, ALL);
            let is_whole = |item: &Value| {
                let is_owned = item["realm"] == "plain.test" || !item["account_name"].is_null();
                item["node_state"] == "live" && is_owned
            };
            holds(items.len() == count && items.iter().all(is_whole), || {
                let logs: Vec<_> = self.nodes.iter().map(Daemon::log).collect();
                format!("{items:?}\n{}", logs.join("\n"))
            })
        });
    }

    /// What the database says of the intents, one a line.
    fn intents(&self, columns: &str) -> String {
        let query = format!("SELECT {columns} FROM usrlocd.intent ORDER BY asked_at, id");
        self.server.query(&query).trim().to_owned()
    }

    /// Waits until every intent is in this state.
    #[track_caller]
    fn are(&self, state: &str) {
        eventually("the intents are in that state", PATIENCE, || {
            let states = self.intents("state");
            let are_all = !states.is_empty() && states.lines().all(|one| one == state);
            holds(are_all, || states.clone())
        });
    }

    /// Whether the Kamailio with this place has the phone.
    fn has(&self, place: usize, phone: &Phone) -> bool {
        !self.kamailios[place].lookup(phone.aor()).is_empty()
    }
}

#[track_caller]
fn flushed(answer: &Response, bindings: u32) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["data"], "ok");
    let bindings = bindings.to_string();
    assert_eq!(answer.header("X-Flushed"), Some(&*bindings));
}

/// Of an incomplete flush, how many went, and the node and reason of the only failure.
#[track_caller]
fn incomplete(answer: &Response) -> (u64, String, String) {
    assert_eq!(answer.status, 502, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["message"], "flush_incomplete");
    let data = &body["data"];
    assert_eq!(data["failed_total"], 1, "{data}");
    let text = |key: &str| {
        let value = data["failed"][0][key].as_str();
        value.unwrap_or_default().to_owned()
    };
    assert!(!text("aor").is_empty(), "{data}");
    let flushed = data["flushed"].as_u64().expect("a number");
    (flushed, text("node"), text("reason"))
}

fn as_token(daemon: &Daemon, method: &str, target: &str, token: &str) -> u16 {
    let answer = daemon.request(method, target, &[("X-Auth-Token", token)], b"");
    answer.status
}

fn post(daemon: &Daemon, target: &str, body: &[u8]) -> Response {
    let headers = [
        ("X-Auth-Token", Daemon::TOKEN),
        ("X-Request-ID", "0123456789abcdef"),
    ];
    daemon.request("POST", target, &headers, body)
}

/// An account, a user and what a search finds go on every node, and nothing else does.
#[test]
fn a_flush_reaches_every_node() {
    let site = Site::of(2);
    let [one, two] = [&site.kamailios[0], &site.kamailios[1]];
    let (acme, globex) = (acme(), globex());
    let mut alice = Phone::of(one, &acme.device("alice", 1));
    let mut again = Phone::of(two, &acme.device("alice", 1)).expires(600);
    let mut bob = Phone::of(two, &acme.device("bob", 2));
    let mut carol = Phone::of(two, &globex.device("carol", 3)).user_agent("Old 1.0");
    let mut plain = Phone::new(one, "dave", "plain.test").user_agent("Old 1.0");
    for phone in [&mut alice, &mut again, &mut bob, &mut carol, &mut plain] {
        phone.register();
    }
    site.lists(5);

    let account = of(&acme);
    let dry = site.fleet.delete(&format!("{account}?dry_run=true"));
    assert_eq!(dry.header("X-Would-Flush"), Some("3"), "{}", dry.text());
    for (target, token, status) in [
        (&account, READ_ONLY, 403),
        (&account, GLOBEX, 403),
        (&ALL.to_owned(), Daemon::TOKEN, 400),
        (&format!("{account}/nobody"), Daemon::TOKEN, 404),
        (&format!("{account}?filter_flap=x"), Daemon::TOKEN, 400),
    ] {
        assert_eq!(
            as_token(&site.fleet, "DELETE", target, token),
            status,
            "{target}"
        );
    }
    assert_eq!(site.intents("state"), "", "nothing was asked of a node");

    let user = format!("{account}/ALICE?filter_node=k1");
    flushed(&site.fleet.delete(&user), 1);
    assert!(!site.has(0, &alice) && site.has(1, &again));
    assert_eq!(site.intents("kind, state"), "flush|done");

    alice.register();
    site.lists(5);
    let headers = [
        ("X-Auth-Token", Daemon::TOKEN),
        ("X-Request-ID", "0123456789abcdef"),
    ];
    let answer = site.fleet.request("DELETE", &account, &headers, b"");
    flushed(&answer, 3);
    assert!(!site.has(0, &alice) && !site.has(1, &again) && !site.has(1, &bob));
    assert!(site.has(0, &plain) && site.has(1, &carol));
    let left = list(&site.fleet, ALL);
    assert_eq!(left.len(), 2, "at once: {left:?}");
    for node in &site.nodes {
        let audit = Table::copy_of(&node.store());
        let lines = audit.query(
            "select token, account, filters, failed from flush where request_id = '0123456789abcdef'",
        );
        assert_eq!(lines.trim(), format!("lab|{}||0", acme.id));
    }
    assert!(
        site.fleet
            .log()
            .contains("had nodes of the fleet flush registrations"),
        "{}",
        site.fleet.log()
    );

    // By a node, tunnelled, and of all accounts.
    let found = format!("{ALL}?q=ua:old&verb=delete&scope=fleet");
    let scoped = post(&site.nodes[0], &found, b"");
    flushed(&scoped, 2);
    assert!(!site.has(0, &plain) && !site.has(1, &carol));
    site.lists(0);
    let metrics = site.nodes[1].get("/metrics").text();
    let counted = "usrlocd_fleet_intents_total{state=\"claimed\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
    let metrics = site.fleet.get("/metrics").text();
    assert!(
        metrics.contains("usrlocd_fleet_intents_total{state=\"asked\"} 3"),
        "{metrics}"
    );
}

/// A user's flush takes what was chosen and no more: the newest stays, wherever it is.
#[test]
fn what_was_not_chosen_stays() {
    let site = Site::of(2);
    let acme = acme();
    let mut phones: Vec<_> = (0..4)
        .map(|n| {
            let kamailio = &site.kamailios[n % 2];
            let port = 40_000 + n;
            Phone::of(kamailio, &acme.device("alice", 1))
                .contact(format!("sip:alice@127.0.0.1:{port}"))
        })
        .collect();
    phones.iter_mut().for_each(Phone::register);
    site.lists(4);
    let items = list(&site.fleet, ALL);
    let chosen = |item: &&Value| {
        item["contact"]
            .as_str()
            .is_some_and(|it| it.contains("4000"))
    };
    let ruids: Vec<_> = items
        .iter()
        .filter(chosen)
        .take(3)
        .map(|it| &it["ruid"])
        .collect();
    let body = json!({"data": {"ruids": ruids}, "verb": "delete"}).to_string();
    let keeps = &items[3]["contact"];
    flushed(&post(&site.fleet, &of(&acme), body.as_bytes()), 3);
    let left = list(&site.fleet, ALL);
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["contact"], *keeps);
    let had = site
        .kamailios
        .iter()
        .map(|one| one.lookup(phones[0].aor()).len());
    assert_eq!(had.sum::<usize>(), 1);
}

/// Phones of all nodes are asked, and each is told with its node.
#[test]
fn phones_of_every_node_are_notified() {
    let site = Site::of(2);
    let acme = acme();
    let mut desk = Phone::of(&site.kamailios[0], &acme.device("alice", 1));
    let mut mobile = Phone::of(&site.kamailios[1], &acme.device("alice", 1));
    desk.register();
    mobile.register();
    site.lists(2);
    let (heard, refused) = (
        desk.answering(Some("200 OK")),
        mobile.answering(Some("489 Bad Event")),
    );
    let target = format!("{}/alice/notify", of(&acme));
    let body = br#"{"data": {"event": "check-sync", "reboot": true}}"#;
    let dry = post(&site.fleet, &format!("{target}?dry_run=true"), body);
    assert_eq!(dry.header("X-Would-Notify"), Some("2"), "{}", dry.text());
    let unknown = post(&site.fleet, &target, br#"{"data": {"event": "reboot"}}"#);
    assert_eq!(unknown.status, 400);
    assert_eq!(as_token(&site.fleet, "POST", &target, READ_ONLY), 403);
    assert!(heard.heard().is_empty() && site.intents("state").is_empty());

    let answer = post(&site.fleet, &target, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("X-Notified"), Some("1"));
    let mut told: Vec<_> = answer.json()["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (one["node"].to_string(), one["status"].to_string()))
        .collect();
    told.sort();
    let expected = [("\"k1\"", "200"), ("\"k2\"", "489")];
    assert_eq!(told, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!((heard.heard().len(), refused.heard().len()), (1, 1));
    for node in &site.nodes {
        let audit = Table::copy_of(&node.store());
        let lines = audit.query("select request_id, event from notify");
        assert_eq!(lines.trim(), "0123456789abcdef|check-sync;reboot=true");
    }
    site.are("done");
}

/// The command works over the socket of `usrlocd fleet` as it does on a node, and names the node of a failure.
#[test]
fn the_command_flushes_and_names_nodes() {
    let site = Site::of(1);
    let acme = acme();
    let mut alice = Phone::of(&site.kamailios[0], &acme.device("alice", 1));
    alice.register();
    site.lists(1);
    let run = || {
        let mut command = Command::new(tools::usrlocd());
        command.args(["flush", &acme.id, "--yes", "--config"]);
        command.arg(site.fleet.config_file());
        let output = command.output().expect("usrlocd runs");
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told).into_owned();
        (output.status.code(), told)
    };
    let (status, told) = run();
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("flushed 1 registration of account"), "{told}");
    assert!(!site.has(0, &alice));
    alice.register();
    site.lists(1);
    site.server
        .query("UPDATE usrlocd.node SET stopped_at = now()");
    let (status, told) = run();
    assert_eq!(status, Some(1), "{told}");
    assert!(
        told.contains("@acme.example.com on k1: the node was stopped"),
        "{told}"
    );
}

/// Thirty flushes over two nodes, each of a phone on either.
#[test]
fn a_flush_over_nodes_takes_a_moment() {
    const ROUNDS: usize = 30;
    let site = Site::of(2);
    let acme = acme();
    let mut phones = [0, 1].map(|place| {
        let device = acme.device("alice", 1);
        Phone::of(&site.kamailios[place], &device)
    });
    let clock = SystemClock::new();
    let mut took: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            phones.iter_mut().for_each(Phone::register);
            site.lists(2);
            let began = clock.monotonic();
            flushed(&site.fleet.delete(&of(&acme)), 2);
            let took = clock.monotonic().saturating_sub(began);
            assert_eq!(
                list(&site.fleet, ALL).len(),
                0,
                "a list right after shows none"
            );
            took
        })
        .collect();
    took.sort();
    let (median, last) = (took[ROUNDS / 2], took[ROUNDS - 1]);
    println!(
        "a flush over two nodes: p50 {median:?}, p97 {:?}, longest {last:?}",
        took[ROUNDS - 2]
    );
    assert!(median < Duration::from_millis(1500), "{took:?}");
}

//! What is answered for a fleet from its database: by `usrlocd fleet`, with nobody else who writes there.

mod partly;
mod real;

use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use usrlocd::accounts::{Directory, Naming, Resolver};
use usrlocd::fleet::record;
use usrlocd::registration::{Attributes, Binding, Expiry, Key, Life, Number, Registration, Ruid};

use crate::oracle::PATIENCE;
use crate::support::daemon::Daemon;
use crate::support::server::{Engine, Server};
use crate::support::{eventually, holds, tools, unix_now};

const ALL: &str = "/v2/registrations";
const ACME: &str = "/v2/accounts/acme.example.com/registrations";

/// A database with the fleet's tables, which nobody writes but the test.
pub(crate) struct Site {
    pub(crate) server: Arc<Server>,
    rows: std::cell::Cell<u32>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let server = Server::start(Engine::Postgres);
        migrate(&server);
        server.query(
            "grant usage on schema usrlocd to usrlocd; grant all on all tables in schema usrlocd to usrlocd;",
        );
        Self {
            server,
            rows: 0.into(),
        }
    }

    pub(crate) fn fleet(&self) -> Daemon {
        let builder = Daemon::fleet(&self.server.url());
        let builder = builder.token(
            "one",
            "one-token-0123456789abcdef",
            &["acme.example.com"],
            &["read"],
        );
        builder.start()
    }

    /// A node whose last beat is so many seconds old.
    pub(crate) fn node(&self, name: &str, silent: u32) {
        self.server.query(&format!(
            "insert into usrlocd.node values ('{}', '{name}', 3, 3, now(), now() - interval '{silent} seconds', null, 9, 0, 'live', now(), 4, 0, '1.2.3')",
            id(name)
        ));
    }

    pub(crate) fn set(&self, name: &str, what: &str) {
        self.server.query(&format!(
            "update usrlocd.node set {what} where name = '{name}'"
        ));
    }

    /// Publishes a registration of a node.
    pub(crate) fn publish(&self, node: &str, one: &Registration) {
        self.publish_as(node, one, &record::encode(one));
    }

    /// Publishes this record as that of a registration.
    fn publish_as(&self, node: &str, one: &Registration, bytes: &[u8]) {
        let slot = self.rows.replace(self.rows.get() + 1);
        let binding = &one.binding;
        let mut record = String::new();
        for byte in bytes {
            write!(record, "{byte:02x}").expect("it is memory");
        }
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let or_null = |text: Option<&str>| text.map_or("null".to_owned(), quoted);
        self.server.query(&format!(
            "insert into usrlocd.row values ('{}', {slot}, 9, {}, now(), {}, {}, {}, {}, '\\x{record}');
             update usrlocd.node set rows = rows + 1 where name = '{node}'",
            id(node),
            binding.expiry.end().unwrap_or(0),
            or_null(one.account_id.as_deref()),
            quoted(&one.username.lossy().to_ascii_lowercase()),
            or_null(one.common.realm.as_deref()),
            quoted(&binding.contact.lossy()),
        ));
    }
}

/// Makes the tables, as their owner.
fn migrate(server: &Server) {
    let url = format!("postgres://kamailio@127.0.0.1:{}/kamailio", server.port());
    let mut command = Command::new(tools::usrlocd());
    let output = command
        .args(["fleet", "migrate", "--url", &url])
        .output()
        .expect("usrlocd runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The id of a node.
fn id(name: &str) -> String {
    let number: u32 = name.bytes().map(u32::from).sum();
    format!("00000000-0000-4000-8000-{number:012}")
}

/// A registration of `user` in this domain, last refreshed at `modified`, that ends at `end`.
pub(crate) fn phone(
    user: &str,
    domain: &str,
    contact: &str,
    ruid: &str,
    modified: i64,
    end: i64,
) -> Registration {
    let binding = Binding {
        key: Key {
            table: "location".into(),
            ruid: Ruid::from(ruid),
        },
        username: user.into(),
        domain: Some(domain.into()),
        contact: contact.into(),
        received: None,
        path: None,
        expiry: Expiry::At(end),
        last_modified: modified,
        q: None,
        call_id: Some("call@192.0.2.1".into()),
        cseq: Number::new(1),
        flags: Number::new(0),
        cflags: Number::new(0),
        user_agent: Some("Phone 1.0".into()),
        socket: Some("udp:10.0.0.5:5060".into()),
        methods: None,
        instance: None,
        reg_id: None,
        server_id: Number::new(0),
        attributes: Attributes::default(),
    };
    let resolver = Resolver::new(Arc::new(Naming::default()), Arc::new(Directory::default()));
    let life = Life::since(binding.last_modified);
    resolver.registration(Arc::new(binding), life)
}

/// One of acme's, good for ten minutes.
fn of_acme(user: &str, contact: &str, ruid: &str) -> Registration {
    let now = unix_now();
    phone(user, "acme.example.com", contact, ruid, now - 10, now + 600)
}

/// The keys of every item that are asked for, as text.
fn listed(daemon: &Daemon, target: &str, keys: &[&str]) -> Vec<String> {
    let answer = daemon.get(target);
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    let envelope = answer.json();
    let items = envelope["data"].as_array().expect("a list");
    let shown = |item: &Value| {
        let values = keys.iter().map(|key| match &item[*key] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        values.collect::<Vec<_>>().join(" ")
    };
    items.iter().map(shown).collect()
}

fn data(daemon: &Daemon, target: &str) -> Value {
    let answer = daemon.get(target);
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    answer.json()["data"].clone()
}

/// Lists, pages, filters and counts are those of all nodes; rows of nodes that are not live are marked and end.
#[test]
fn a_fleet_is_listed_and_counted() {
    let site = Site::new();
    for (name, silent) in [("k1", 0), ("k2", 20), ("k3", 200)] {
        site.node(name, silent);
    }
    let keep = |name: &str, silent: u32| {
        site.set(
            name,
            &format!("beat_at = now() - interval '{silent} seconds'"),
        );
    };
    site.publish("k1", &of_acme("bob", "sip:bob@192.0.2.1", "u1"));
    site.publish("k2", &of_acme("Alice", "sip:alice@192.0.2.2", "u2"));
    site.publish("k3", &of_acme("carol", "sip:carol@192.0.2.3", "u3"));
    let now = unix_now();
    let other = |node: &str, end| {
        let contact = format!("sip:dave@{node}");
        site.publish(
            node,
            &phone("dave", "other.example.com", &contact, node, now - 900, end),
        );
    };
    // Its node lives, and has not ended it.
    other("k1", now - 1);
    other("k3", now - 1);
    let daemon = site.fleet();
    let read = || {
        keep("k1", 0);
        keep("k2", 20);
    };
    read();
    let keys = ["username", "node", "node_state"];
    let expected = ["Alice k2 stale", "bob k1 live", "carol k3 lost"];
    assert_eq!(listed(&daemon, ACME, &keys), expected);
    read();
    assert_eq!(
        listed(&daemon, ALL, &keys),
        [expected.as_slice(), &["dave k1 live"]].concat()
    );
    assert_eq!(
        data(&daemon, "/v2/registrations/count"),
        json!({"count": 4, "stale": 2})
    );
    read();
    let with_accounts = data(&daemon, "/v2/registrations/count?accounts=true");
    let accounts = json!([
        {"id": "acme.example.com", "realm": "acme.example.com", "count": 3},
        {"id": "other.example.com", "realm": "other.example.com", "count": 1},
    ]);
    assert_eq!(with_accounts["accounts"], accounts);
    read();
    let one = daemon.get(&format!("{ACME}/ALICE"));
    assert_eq!(one.header("x-partial"), Some("k2, k3"));
    assert_eq!(one.json()["data"][0]["username"], "Alice");
    assert_eq!(one.json()["source"]["state"], "partial");
    assert_eq!(one.json()["source"]["nodes"][0]["name"], "k1");
    read();
    assert_eq!(
        data(&daemon, &format!("{ACME}/count")),
        json!({"count": 3, "stale": 2})
    );
    assert_eq!(
        data(&daemon, &format!("{ACME}/count?filter_node_state=live")),
        json!({"count": 1, "stale": 0})
    );
    for (query, users) in [
        ("filter_node=k3", "carol"),
        ("q=node:K2", "Alice"),
        ("filter_not_node=k3&sort=-username", "bob Alice"),
        ("q=192.0.2.1", "bob"),
    ] {
        read();
        let users: Vec<_> = users.split(' ').collect();
        assert_eq!(
            listed(&daemon, &format!("{ACME}?{query}"), &["username"]),
            users,
            "{query}"
        );
    }
    pages(&daemon, &read);
    refusals(&site, &daemon);
}

/// Pages lead through the whole list.
fn pages(daemon: &Daemon, read: &dyn Fn()) {
    let mut users = Vec::new();
    let mut target = format!("{ALL}?page_size=1");
    loop {
        read();
        users.extend(listed(daemon, &target, &["username"]));
        read();
        let page = daemon.get(&target).json();
        match page["next_start_key"].as_str() {
            Some(key) => target = format!("{ALL}?page_size=1&start_key={key}"),
            None => break,
        }
    }
    assert_eq!(users, ["Alice", "bob", "carol", "dave"]);
    read();
    let csv = daemon.get(&format!("{ACME}?accept=csv")).text();
    let head = csv.lines().next().unwrap_or_default();
    assert!(
        head.ends_with(",flap,node,node_state,superseded_by"),
        "{head}"
    );
    assert!(csv.contains(",k3,lost,"), "{csv}");
}

/// Rights are those of a node, and what only nodes know is refused.
fn refusals(site: &Site, daemon: &Daemon) {
    let ask = |target: &str| {
        let token = [("X-Auth-Token", "one-token-0123456789abcdef")];
        daemon.request("GET", target, &token, b"")
    };
    assert_eq!(ask(ALL).json()["page_size"], 3);
    assert_eq!(
        ask("/v2/account/registrations/count").json()["data"]["count"],
        3
    );
    for (target, status) in [
        (ACME, 200),
        ("/v2/accounts/ACME.example.com/registrations", 200),
        ("/v2/accounts/other.example.com/registrations", 403),
        ("/v2/nodes", 403),
        ("/v2/accounts/acme.example.com/registrations/nobody", 404),
        ("/v2/accounts/acme.example.com/history", 200),
        ("/v2/accounts/other.example.com/history", 403),
        ("/v2/accounts/acme.example.com/flapping", 200),
        ("/v2/registrations?scope=node", 400),
        ("/v2/registrations?filter_flap=x", 400),
        ("/v2/registrations?q=flapping:yes", 400),
        ("/v2/registrations?scope=all", 400),
    ] {
        let answer = ask(target);
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
    }
    let unknown = daemon.get("/v2/accounts/nowhere.example.com/registrations");
    assert_eq!(unknown.status, 404, "{}", unknown.text());
    assert_eq!(daemon.delete(&format!("{ACME}/bob/history")).status, 403);
    let dry = daemon.delete(&format!("{ACME}?dry_run=true"));
    assert_eq!(dry.header("x-would-flush"), Some("3"), "{}", dry.text());
    let count = site.server.query("select count(*) from usrlocd.row");
    assert_eq!(count.trim(), "5");
}

/// The same phone on two nodes is listed twice, and the older one names the newer.
#[test]
fn a_phone_that_moved_to_another_node_is_superseded() {
    let site = Site::new();
    for name in ["k1", "k2"] {
        site.node(name, 0);
        site.set(name, "beat_at = now() + interval '1 hour'");
    }
    let now = unix_now();
    let bob = |ruid: &str, modified| {
        phone(
            "bob",
            "acme.example.com",
            "sip:bob@192.0.2.1",
            ruid,
            modified,
            now + 600,
        )
    };
    site.publish("k1", &bob("a-old", now - 300));
    site.publish("k2", &bob("b-new", now - 10));
    site.publish("k2", &of_acme("bob", "sip:bob@192.0.2.9", "other"));
    let daemon = site.fleet();
    let items = data(&daemon, ACME);
    let superseded = |ruid: &str| {
        let all = items.as_array().expect("a list");
        let one = all.iter().find(|item| item["ruid"] == ruid);
        one.expect("it is listed")["superseded_by"].clone()
    };
    assert_eq!(superseded("a-old"), json!({"node": "k2", "ruid": "b-new"}));
    assert_eq!(superseded("b-new"), Value::Null);
    assert_eq!(superseded("other"), Value::Null);
    // On whichever page they are.
    let first = data(&daemon, &format!("{ACME}?page_size=1"));
    assert_eq!(first[0]["superseded_by"]["ruid"], "b-new");
}

/// While the database is away the answer is that, with the nodes last known; afterwards all is well.
#[test]
fn a_database_that_is_away_is_told() {
    let site = Site::new();
    site.node("k1", 0);
    site.node("k9", 200);
    site.publish("k9", &of_acme("bob", "sip:bob@192.0.2.1", "u1"));
    let daemon = site.fleet();
    let nodes = data(&daemon, "/v2/nodes");
    assert_eq!(nodes[1]["name"], "k9");
    assert_eq!(nodes[1]["state"], "lost");
    site.server.stop();
    eventually("it is told", PATIENCE, || {
        let answer = daemon.get(ALL);
        let body = answer.json();
        let is_told = answer.status == 503
            && body["message"] == "fleet_unreachable"
            && body["data"]["nodes"][0]["name"] == "k1";
        holds(is_told, || answer.text())
    });
    eventually("it is not ready", PATIENCE, || {
        let answer = daemon.request("GET", "/readyz", &[], b"");
        holds(answer.status == 503, || answer.text())
    });
    site.server.resume();
    eventually("it answers again", PATIENCE, || {
        let answer = daemon.get(ALL);
        holds(answer.status == 200, || answer.text())
    });
    let refused = daemon.request(
        "DELETE",
        "/v2/nodes/k9",
        &[("X-Auth-Token", Daemon::TOKEN)],
        b"",
    );
    assert_eq!(
        refused.status,
        403,
        "only over the socket: {}",
        refused.text()
    );
    forget(&site, &daemon);
}

/// A node that will not come back is forgotten with its registrations; one that runs is not.
fn forget(site: &Site, daemon: &Daemon) {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(tools::usrlocd());
        command.arg("nodes").args(arguments);
        command.arg("--config").arg(daemon.config_file());
        let output = command.output().expect("usrlocd runs");
        let told = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&told).into_owned(),
        )
    };
    site.set("k1", "beat_at = now()");
    let (status, told) = run(&["forget", "k1"]);
    assert_eq!(status, Some(64), "{told}");
    assert!(told.contains("stop it first"), "{told}");
    assert_eq!(run(&["forget", "k5"]).0, Some(1));
    assert_eq!(run(&["forget", "k9"]), (Some(0), "forgot k9\n".to_owned()));
    assert_eq!(data(daemon, "/v2/registrations"), json!([]));
    let (status, told) = run(&["-o", "json"]);
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("\"k1\"") && !told.contains("k9"), "{told}");
}

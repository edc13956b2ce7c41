//! Several Kamailios with one table: each is asked about its own registrations.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::oracle::lists;
use crate::servers::{ALL, ZONE, beside};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::ports;
use crate::support::server::{Engine, Server};

const PLAIN: &str = "/v2/accounts/plain.test/registrations";

fn start(server: &Arc<Server>, id: u32) -> Kamailio {
    Kamailio::builder()
        .server(server)
        .server_id(id)
        .db_mode(1)
        .timezone(ZONE)
        .start()
}

/// A usrlocd that asks these Kamailios, by `server_id`.
fn asking(owners: [(u32, &Kamailio); 2]) -> Daemon {
    let addresses = owners.map(|(id, kamailio)| format!("{id} = \"{}\"", kamailio.rpc_url()));
    let table = format!("{{ {} }}", addresses.join(", "));
    let daemon = beside(owners[0].1).environment("USRLOCD_KAMAILIO__JSONRPC", &table);
    daemon.start()
}

fn asks_each_owner(engine: Engine) {
    let server = Server::start(engine);
    let (one, two, three) = (start(&server, 1), start(&server, 2), start(&server, 3));
    let daemon = asking([(1, &one), (2, &two)]);
    let mut at_one = Phone::new(&one, "alice", "plain.test");
    let mut at_two = Phone::new(&two, "alice", "plain.test");
    let mut other = Phone::new(&two, "bob", "plain.test");
    let mut unnamed = Phone::new(&three, "carol", "plain.test");
    for phone in [&mut at_one, &mut at_two, &mut other, &mut unnamed] {
        phone.register();
    }
    let contacts = [&at_one, &at_two, &other, &unnamed].map(Phone::contact_uri);
    lists(&daemon, ALL, &contacts);

    let flush = daemon.delete(&format!("{PLAIN}/bob"));
    assert_eq!(flush.status, 200, "{}", flush.text());
    assert_eq!(flush.header("X-Flushed"), Some("1"));
    let flush = daemon.delete(PLAIN);
    assert_eq!(flush.status, 502, "{}", flush.text());
    let said = flush.json();
    assert_eq!(said["data"]["flushed"], 2, "{said}");
    assert!(flush.text().contains("server_id 3"), "{said}");
    lists(&daemon, ALL, &[unnamed.contact_uri()]);
    for (kamailio, user) in [(&one, "alice"), (&two, "alice"), (&two, "bob")] {
        assert_eq!(kamailio.lookup(format!("{user}@plain.test")).len(), 0);
    }
    assert_eq!(three.lookup("carol@plain.test").len(), 1);
    at_two.register();
    lists(&daemon, ALL, &[unnamed.contact_uri(), at_two.contact_uri()]);
}

#[test]
fn each_kamailio_of_a_postgresql_is_asked_about_its_own() {
    asks_each_owner(Engine::Postgres);
}

#[test]
fn each_kamailio_of_a_mariadb_is_asked_about_its_own() {
    asks_each_owner(Engine::MariaDb);
}

/// A Kamailio that knows nothing of what it is said to own is not believed.
#[test]
fn addresses_that_are_mixed_up_remove_nothing() {
    let server = Server::start(Engine::Postgres);
    let (one, two) = (start(&server, 1), start(&server, 2));
    let daemon = asking([(1, &two), (2, &one)]);
    let mut phone = Phone::new(&one, "alice", "plain.test");
    phone.register();
    lists(&daemon, ALL, &[phone.contact_uri()]);
    let flush = daemon.delete(PLAIN);
    assert_eq!(flush.status, 502, "{}", flush.text());
    assert!(
        flush.text().contains("another Kamailio"),
        "{}",
        flush.text()
    );
    lists(&daemon, ALL, &[phone.contact_uri()]);
    assert_eq!(one.lookup("alice@plain.test").len(), 1);
}

/// `doctor` asks each of them.
#[test]
fn doctor_says_which_kamailio_does_not_answer() {
    let server = Server::start(Engine::Postgres);
    let one = start(&server, 1);
    let nobody = format!("http://127.0.0.1:{}/RPC", ports::free());
    let table = format!("{{ 1 = \"{}\", 2 = \"{nobody}\" }}", one.rpc_url());
    let daemon = beside(&one).prepare();
    let output = daemon
        .command("doctor")
        .args(["-o", "json", "--jsonrpc", &table])
        .output();
    let said: Value = serde_json::from_slice(&output.expect("it starts").stdout).expect("JSON");
    let findings = said["findings"].as_array().expect("a list");
    let owners = findings.iter().filter(|it| it["check"] == "jsonrpc_owner");
    let owners: Vec<_> = owners
        .map(|it| (&it["mark"], it["message"].to_string()))
        .collect();
    let [(good, well), (bad, ill)] = &owners[..] else {
        panic!("{said:#}");
    };
    assert_eq!((*good, *bad), (&json!("ok"), &json!("fail")), "{owners:?}");
    assert!(well.contains("server_id 1 answers at"), "{well}");
    assert!(ill.contains("server_id 2 does not answer at"), "{ill}");
    assert!(ill.contains(&nobody), "{ill}");
}

//! What the API must say, worked out from the rows that `sqlite3` reads and from Kamailio's memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::table::Row;
use crate::support::{eventually, holds, unix_now};

/// How long a busy machine may take to show what happened.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The first Unix second, in seconds of the Gregorian calendar.
const GREGORIAN: i64 = 62_167_219_200;

/// The path of all registrations of an account.
pub(crate) fn of(account: &Account) -> String {
    format!("/v2/accounts/{}/registrations", account.id)
}

/// The items that `target` lists.
#[track_caller]
pub(crate) fn list(daemon: &Daemon, target: &str) -> Vec<Value> {
    try_list(daemon, target).unwrap_or_else(|complaint| panic!("{complaint}"))
}

/// Waits until `target` lists these contacts and no others, and returns its items. An account is not known before its
/// first row.
#[track_caller]
pub(crate) fn lists(daemon: &Daemon, target: &str, contacts: &[&[u8]]) -> Vec<Value> {
    let mut expected: Vec<String> = contacts.iter().map(|uri| lossy(uri)).collect();
    expected.sort();
    eventually("the list has the contacts", PATIENCE, || {
        let items = try_list(daemon, target)?;
        let found = contacts_of(&items);
        holds(found == expected, || format!("{found:?}")).map(|()| items)
    })
}

fn try_list(daemon: &Daemon, target: &str) -> Result<Vec<Value>, String> {
    let answer = daemon.get(target);
    holds(answer.status == 200, || {
        format!("GET {target}: {}", answer.text())
    })?;
    let envelope = answer.json();
    let items = envelope["data"].as_array().expect("a list").clone();
    assert_eq!(envelope["page_size"], items.len(), "{envelope}");
    Ok(items)
}

/// The contacts of items, sorted.
pub(crate) fn contacts_of(items: &[Value]) -> Vec<String> {
    let mut contacts: Vec<String> = items
        .iter()
        .map(|item| item["contact"].as_str().expect("a contact").to_owned())
        .collect();
    contacts.sort();
    contacts
}

/// Waits until the list has these many phones with this number of their last REGISTER.
#[track_caller]
pub(crate) fn shows_round(daemon: &Daemon, phones: usize, cseq: i64) {
    eventually("the round shows", PATIENCE, || {
        let items = list(daemon, "/v2/registrations");
        let found = items.iter().filter(|item| item["cseq"] == cseq).count();
        holds(found == phones, || format!("{found} in round {cseq}"))
    });
}

/// The same in the tables, without asking usrlocd.
#[track_caller]
pub(crate) fn writes_round(kamailio: &Kamailio, phones: usize, cseq: i64) {
    eventually("the round is written", PATIENCE, || {
        let rows = kamailio.rows();
        let found = rows.iter().filter(|row| row.integer("cseq") == cseq);
        let found = found.count();
        holds(found == phones, || format!("{found} in round {cseq}"))
    });
}

/// Waits until the API, the tables and Kamailio's memory say the same, and returns the items.
#[track_caller]
pub(crate) fn agree(kamailio: &Kamailio, daemon: &Daemon) -> Vec<Value> {
    eventually("list, tables and memory agree", PATIENCE, || {
        compare(kamailio, daemon)
    })
}

/// Waits until the API says what the tables do, whatever Kamailio's memory has.
#[track_caller]
pub(crate) fn agrees_with_tables(kamailio: &Kamailio, daemon: &Daemon) -> Vec<Value> {
    eventually("list and tables agree", PATIENCE, || {
        compare_with_rows(&kamailio.rows(), daemon)
    })
}

fn compare(kamailio: &Kamailio, daemon: &Daemon) -> Result<Vec<Value>, String> {
    let rows = kamailio.rows();
    let items = compare_with_rows(&rows, daemon)?;
    let listed: BTreeSet<String> = items
        .iter()
        .map(|item| item["ruid"].as_str().expect("a ruid").to_owned())
        .collect();
    let users: BTreeSet<Vec<u8>> = rows.iter().map(Row::aor).collect();
    let in_memory: BTreeSet<String> = users
        .iter()
        .flat_map(|user| kamailio.lookup(user))
        .filter(|contact| !matches!(contact["Expires"].as_str(), Some("expired" | "deleted")))
        .map(|contact| contact["Ruid"].as_str().expect("a ruid").to_owned())
        .collect();
    holds(listed == in_memory, || {
        format!("listed {listed:?}, in memory {in_memory:?}")
    })
    .map(|()| items)
}

fn compare_with_rows(rows: &[Row], daemon: &Daemon) -> Result<Vec<Value>, String> {
    let items = list(daemon, "/v2/registrations");
    let now = unix_now();
    let expected: BTreeMap<String, Map<String, Value>> = rows
        .iter()
        .filter(|row| row.time("expires") == 0 || row.time("expires") > now)
        .map(|row| (row.text("ruid"), item(row)))
        .collect();
    let mut found = BTreeMap::new();
    for listed in &items {
        let mut listed = listed.as_object().expect("an item").clone();
        let ruid = listed["ruid"].as_str().expect("a ruid").to_owned();
        check_times(&mut listed, now)?;
        // How much a phone flaps is not in the tables.
        listed.remove("flap");
        found.insert(ruid, listed);
    }
    holds(items.len() == found.len(), || {
        "a registration twice".to_owned()
    })?;
    if expected != found {
        return Err(format!("expected {expected:#?}, found {found:#?}"));
    }
    let count = daemon.get("/v2/registrations/count").json();
    holds(count["data"] == json!({ "count": items.len() }), || {
        format!("{count}")
    })
    .map(|()| items)
}

/// Checks and takes out what depends on when one asks, or on what was there earlier.
fn check_times(item: &mut Map<String, Value>, now: i64) -> Result<(), String> {
    let expires = item.remove("expires");
    match (item.get("expires_at").and_then(Value::as_i64), expires) {
        (None, None) => {}
        (Some(at), Some(left)) => {
            let left = left.as_i64().expect("seconds");
            let right = (at - now..=at - now + 2).contains(&left) && left >= 1;
            holds(right, || format!("{left} s remain until {at} at {now}"))?;
        }
        odd => return Err(format!("expires_at and expires: {odd:?}")),
    }
    let initial = item.remove("initial_registration").expect("a first time");
    holds(
        initial.as_i64() <= item["event_timestamp"].as_i64() && initial.is_i64(),
        || format!("first seen at {initial}"),
    )
}

/// The item that a row is, without `expires` and `initial_registration`.
fn item(row: &Row) -> Map<String, Value> {
    let mut item = Map::new();
    let mut put = |key: &str, value: Value| {
        let absent = value.is_null() || value.as_str() == Some("");
        if !absent {
            item.insert(key.to_owned(), value);
        }
    };
    let vars = vars(row);
    let aor = lossy(&row.aor());
    let split = row.bytes("domain").and_then(|_| aor.rsplit_once('@'));
    let (user, realm) = split.unwrap_or((&aor, ""));
    let cased = |name: &str, stored: &str| match vars[name].as_str() {
        Some(original) if original.to_lowercase() == stored => original.to_owned(),
        _ => stored.to_owned(),
    };
    let (user, realm) = (cased("Username", user), cased("Realm", realm));
    for key in ["username", "from_user", "to_user"] {
        put(key, json!(user));
    }
    for key in ["realm", "from_host", "to_host"] {
        put(key, json!(realm));
    }
    let account_realm = vars["Account-Realm"].as_str().unwrap_or(&realm);
    put("account_realm", json!(account_realm));
    put("account_name", vars["Account-Name"].clone());
    put("authorizing_id", vars["Authorizing-ID"].clone());
    put("authorizing_type", vars["Authorizing-Type"].clone());
    put("owner_id", vars["Owner-ID"].clone());
    put("suppress_unregister_notify", json!(true));
    put("register_overwrite_notify", json!(false));
    for (key, column) in [
        ("call_id", "callid"),
        ("contact", "contact"),
        ("original_contact", "contact"),
        ("ruid", "ruid"),
        ("path", "path"),
        ("instance", "instance"),
        ("user_agent", "user_agent"),
    ] {
        let text = row.text(column);
        let unknown = column == "user_agent" && text == "n/a";
        put(key, if unknown { Value::Null } else { json!(text) });
    }
    put_addresses(row, &mut put);
    put_numbers(row, &mut put);
    item
}

fn vars(row: &Row) -> Value {
    let text = row.attributes.get("custom_channel_vars");
    text.map_or(Value::Null, |text| {
        serde_json::from_slice(text).expect("the lab's vars are JSON")
    })
}

fn put_addresses(row: &Row, put: &mut impl FnMut(&str, Value)) {
    let (host, port) = uri_address(&row.text("contact"));
    put("contact_ip", json!(host));
    put("contact_port", json!(port));
    if row.bytes("received").is_some() {
        let (host, port) = uri_address(&row.text("received"));
        let host = host.trim_matches(['[', ']']);
        for key in ["network_ip", "source_ip"] {
            put(key, json!(host));
        }
        for key in ["network_port", "source_port"] {
            put(key, json!(port));
        }
        put("source_from", json!("received"));
    } else {
        put("network_ip", json!("undefined"));
        put("network_port", json!("undefined"));
    }
    let socket = row.text("socket");
    if let Some((protocol, rest)) = socket.split_once(':') {
        let (address, port) = rest.rsplit_once(':').expect("a socket has a port");
        put("proxy_protocol", json!(protocol));
        put("proxy_ip", json!(address));
        put("proxy_port", json!(port));
    }
}

fn put_numbers(row: &Row, put: &mut impl FnMut(&str, Value)) {
    let (expires, modified) = (row.time("expires"), row.time("last_modified"));
    put("event_timestamp", json!(modified + GREGORIAN));
    put("last_registration", json!(modified + GREGORIAN));
    put("first_registration", json!(false));
    if expires == 0 {
        put("permanent", json!(true));
    } else {
        put("expires_at", json!(expires));
        put("granted_expires", json!(expires - modified));
    }
    for column in ["cseq", "flags", "cflags", "server_id"] {
        put(column, json!(row.integer(column)));
    }
    if row.integer("reg_id") != 0 {
        put("reg_id", json!(row.integer("reg_id")));
    }
    if row.number("q") >= 0.0 {
        put("q", json!(row.number("q")));
    }
    if let Ok(methods) = row.text("methods").parse::<i64>() {
        put("methods", json!(methods));
    }
}

/// Host and port of a SIP URI, as far as the lab's phones go.
fn uri_address(uri: &str) -> (String, String) {
    let (scheme, rest) = uri.split_once(':').expect("a URI has a scheme");
    let authority = rest.rsplit_once('@').map_or(rest, |(_, after)| after);
    let (authority, params) = authority.split_once(';').unwrap_or((authority, ""));
    let secure = scheme.eq_ignore_ascii_case("sips")
        || params
            .to_lowercase()
            .split(';')
            .any(|param| param == "transport=tls");
    let end = authority.find(']').map_or(0, |bracket| bracket + 1);
    if let Some((host, port)) = authority[end..].split_once(':') {
        (format!("{}{host}", &authority[..end]), port.to_owned())
    } else {
        let port = if secure { "5061" } else { "5060" };
        (authority.to_owned(), port.to_owned())
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

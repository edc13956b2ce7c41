//! What becomes of rows of every kind.

use serde_json::{Value, json};

use super::*;
use crate::registration::Attributes;
use crate::registration::Life;
use crate::registration::item::{self, Field, Wire};
use crate::registration::testing::binding;

const NOW: i64 = 1_700_000_300;

fn resolver(directory: &str) -> Resolver {
    let naming = Naming {
        default_realm: String::new(),
        advertise: [("10.0.0.5".to_owned(), "203.0.113.5".to_owned())].into(),
        proxy_path: "sip:{ip}:{port};transport={proto}".to_owned(),
    };
    Resolver::new(
        Arc::new(naming),
        Arc::new(Directory::parse(directory).unwrap()),
    )
}

fn row(
    contact: &str,
    received: Option<&str>,
    socket: &str,
    attributes: &[(&str, &str)],
) -> Arc<Binding> {
    let attributes: Attributes = attributes
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    Arc::new(Binding {
        received: received.map(Text::from),
        socket: Some(socket.into()),
        last_modified: 1_700_000_000,
        attributes,
        ..binding("uloc-1", "user_1", contact, 1_700_000_600)
    })
}

fn item(resolver: &Resolver, binding: Arc<Binding>) -> Value {
    let one = resolver.registration(binding, Life::since(1_700_000_000));
    let value = |field: &Field| {
        let value = match one.value(*field, Wire::Kazoo43, NOW)? {
            item::Value::Text(text) => json!(text),
            item::Value::Port(number) => json!(number.to_string()),
            item::Value::Integer(number) => json!(number),
            item::Value::Number(number) => json!(number),
            item::Value::Flag(flag) => json!(flag),
            item::Value::Flap(flap) => json!(flap.to_string()),
            item::Value::Successor(successor) => json!(successor.to_string()),
        };
        Some((field.name().to_owned(), value))
    };
    Value::Object(Field::USUAL.iter().filter_map(value).collect())
}

#[test]
fn a_phone_of_kazoos_with_every_key() {
    let vars = json!({"Account-ID": "a1", "Account-Realm": "acme.example.com", "Account-Name": "Acme",
        "Authorizing-ID": "d1", "Authorizing-Type": "device", "Owner-ID": "u1", "Username": "User_1",
        "Realm": "Acme.Example.com", "Suppress-Unregister-Notifications": "false",
        "Register-Overwrite-Notify": true, "Presence-ID": "user_1@acme.example.com"});
    let attributes = [
        ("custom_channel_vars", &*vars.to_string()),
        ("token", "d1@a1"),
    ];
    let row = row(
        "sip:user_1@192.0.2.10:5062",
        Some("sip:192.0.2.10:5062"),
        "udp:10.0.0.5:5060",
        &attributes,
    );
    assert_eq!(
        item(&resolver("{}"), row),
        json!({"username": "User_1", "from_user": "User_1", "to_user": "User_1",
            "realm": "Acme.Example.com", "from_host": "Acme.Example.com", "to_host": "Acme.Example.com",
            "account_name": "Acme", "account_realm": "acme.example.com", "authorizing_id": "d1",
            "authorizing_type": "device", "owner_id": "u1", "presence_id": "user_1@acme.example.com",
            "suppress_unregister_notify": false, "register_overwrite_notify": true,
            "call_id": "call@192.0.2.1", "user_agent": "Phone 1.0",
            "contact": "sip:user_1@192.0.2.10:5062", "original_contact": "sip:user_1@192.0.2.10:5062",
            "contact_ip": "192.0.2.10", "contact_port": 5062,
            "network_ip": "192.0.2.10", "network_port": "5062", "source_ip": "192.0.2.10", "source_port": "5062", "source_from": "received",
            "proxy_ip": "203.0.113.5", "proxy_port": 5060, "proxy_protocol": "udp",
            "proxy_path": "sip:10.0.0.5:5060;transport=udp",
            "event_timestamp": 63_867_219_200_i64, "last_registration": 63_867_219_200_i64,
            "initial_registration": 63_867_219_200_i64, "first_registration": false,
            "expires": 300, "expires_at": 1_700_000_600, "granted_expires": 600,
            "ruid": "uloc-1", "flags": 0, "cflags": 0, "cseq": 1, "server_id": 0})
    );
}

#[test]
fn what_is_not_known_is_absent() {
    let bare = item(
        &resolver("{}"),
        row(
            "*",
            None,
            "udp:garbage",
            &[("custom_channel_vars", "{broken")],
        ),
    );
    for key in [
        "contact_ip",
        "contact_port",
        "source_ip",
        "network_ip",
        "proxy_ip",
        "proxy_path",
        "owner_id",
    ] {
        assert_eq!(bare.get(key), None, "{key}");
    }
    assert_eq!(bare["account_realm"], "acme.example.com");
    assert_eq!(bare["suppress_unregister_notify"], true);
}

#[test]
fn names_are_split_from_their_realm_at_the_last_at() {
    let directory = r#"{"accounts": [{"id": "plain", "realm": "Plain.Test"}],
        "devices": [{"id": "d7", "account_id": "plain", "username": "User@example.com", "owner_id": "u7"}]}"#;
    let split = |vars: &str| {
        let attributes = [("custom_channel_vars", vars)];
        Binding {
            username: "user".into(),
            domain: Some("example.com@plain.test".into()),
            ..(*row("sip:a@b", None, "", &attributes)).clone()
        }
    };
    let shown = item(&resolver(directory), Arc::new(split("{}")));
    for key in ["username", "from_user", "to_user"] {
        assert_eq!(shown[key], "user@example.com", "{key}");
    }
    for key in ["realm", "from_host", "to_host"] {
        assert_eq!(shown[key], "plain.test", "{key}");
    }
    assert_eq!(
        (&shown["authorizing_id"], &shown["owner_id"]),
        (&json!("d7"), &json!("u7"))
    );
    let vars = r#"{"Username": "User@Example.com", "Realm": "Plain.test"}"#;
    let one = resolver("{}").registration(Arc::new(split(vars)), Life::since(0));
    assert_eq!(one.account_id.as_deref(), Some("plain.test"));
    assert_eq!(
        (one.username.lossy(), one.common.realm.as_deref()),
        ("User@Example.com".into(), Some("Plain.test"))
    );
    let token = [("token", "user@example.com@plain")];
    let one = resolver("{}").registration(row("sip:a@b", None, "", &token), Life::since(0));
    assert_eq!(one.account_id.as_deref(), Some("plain"));
    assert_eq!(one.authorizing_id, Some("user@example.com".into()));
}

#[test]
fn a_port_that_is_none_costs_the_port_alone() {
    let row = row(
        "sip:alice@192.0.2.50:99999",
        Some("sip:192.0.2.51:x"),
        "udp:10.0.0.5:0",
        &[],
    );
    let item = item(&resolver("{}"), row);
    for (ip, address, port) in [
        ("contact_ip", "192.0.2.50", "contact_port"),
        ("source_ip", "192.0.2.51", "source_port"),
        ("proxy_ip", "203.0.113.5", "proxy_port"),
    ] {
        assert_eq!((&item[ip], item.get(port)), (&json!(address), None), "{ip}");
    }
    assert_eq!(item.get("proxy_path"), None);
    assert_eq!(item["proxy_protocol"], "udp");
}

#[test]
fn the_source_is_the_phones_own() {
    let alias = "sip:a@10.0.0.1;alias=203.0.113.20~40001~2";
    let path = "<sip:far;lr>,<sip:near;lr;received=sip:[2001:db8::9]:40002%3Btransport%3Dtls>";
    let told = |path: Option<&str>, received: Option<&str>| {
        let path = path.map(Text::from);
        let row = Binding {
            path,
            ..(*row(alias, received, "", &[])).clone()
        };
        let item = item(&resolver("{}"), Arc::new(row));
        ["source_ip", "source_port", "source_from"]
            .map(|key| item[key].as_str().unwrap().to_owned())
    };
    assert_eq!(
        told(Some(path), Some("sip:192.0.2.1:5060")),
        ["2001:db8::9", "40002", "path"]
    );
    assert_eq!(
        told(None, Some("sip:192.0.2.1:5060")),
        ["192.0.2.1", "5060", "received"]
    );
    assert_eq!(
        told(Some("<sip:near;lr>"), None),
        ["203.0.113.20", "40001", "alias"]
    );
}

#[test]
fn addresses_of_ipv6_and_websockets() {
    let row = row(
        "sip:u@[2001:db8::10]:5070",
        Some("sip:[2001:db8::10]:5070;transport=ws"),
        "tls:[2001:db8::5]:7001",
        &[],
    );
    let item = item(&resolver("{}"), row);
    assert_eq!(item["contact_ip"], "[2001:db8::10]");
    assert_eq!(item["source_ip"], "2001:db8::10");
    assert_eq!(item["proxy_ip"], "[2001:db8::5]");
    assert_eq!(item["proxy_protocol"], "wss");
}

#[test]
fn the_owner_is_found_in_this_order() {
    let directory = r#"{"accounts": [{"id": "acme", "realm": "ACME.example.com", "name": "Acme"}],
        "devices": [{"id": "d7", "account_id": "acme", "username": "USER_1", "owner_id": "u7"}]}"#;
    let (with, without) = (resolver(directory), resolver("{}"));
    let owner = |resolver: &Resolver, attributes: &[(&str, &str)]| {
        let one = resolver.registration(row("sip:a@b", None, "", attributes), Life::since(0));
        (
            one.account_id.as_deref().unwrap().to_owned(),
            one.authorizing_id
                .as_ref()
                .map(|id| id.lossy().into_owned()),
        )
    };
    let vars = ("custom_channel_vars", r#"{"Account-ID": "by-vars"}"#);
    assert_eq!(
        owner(&with, &[vars, ("token", "d1@by-token")]),
        ("by-vars".into(), Some("d1".into()))
    );
    assert_eq!(
        owner(&with, &[("token", "d1@by-token")]),
        ("by-token".into(), Some("d1".into()))
    );
    assert_eq!(
        owner(&with, &[("token", "@")]),
        ("acme".into(), Some("d7".into()))
    );
    assert_eq!(
        owner(&without, &[("token", "alone")]),
        ("acme.example.com".into(), None)
    );
}

#[test]
fn vars_of_another_user_do_not_rename_the_row() {
    let vars = [(
        "custom_channel_vars",
        r#"{"Username": "someone", "Realm": "else.example.com"}"#,
    )];
    let item = item(&resolver("{}"), row("sip:a@b", None, "", &vars));
    assert_eq!(
        (&item["username"], &item["realm"]),
        (&json!("user_1"), &json!("acme.example.com"))
    );
}

#[test]
fn the_account_of_a_domain_is_one_in_any_case() {
    let owner = |directory: &str, domain: &str| {
        let row = row("sip:user_1@192.0.2.10", None, "udp:10.0.0.5:5060", &[]);
        let row = Binding {
            domain: Some(domain.into()),
            ..Binding::clone(&row)
        };
        let one = resolver(directory).registration(Arc::new(row), Life::since(1_700_000_000));
        one.account_id.as_deref().map(str::to_owned)
    };
    let named = r#"{"accounts": [{"id": "Acme.Test"}, {"id": "b", "realm": "b.test"}]}"#;
    for domain in ["acme.test", "ACME.Test", "Acme.Test"] {
        assert_eq!(owner("{}", domain).as_deref(), Some("acme.test"));
        assert_eq!(owner(named, domain).as_deref(), Some("Acme.Test"));
    }
    assert_eq!(owner(named, "B.test").as_deref(), Some("b"));
    assert_ne!(
        resolver("{}").owners(),
        resolver(r#"{"accounts": [{"id": "Acme.Test"}]}"#).owners(),
        "what the store knows of owners is looked at anew"
    );
}

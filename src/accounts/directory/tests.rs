//! What a directory answers, and what is refused where.

use std::fmt::Write;
use std::time::Duration;

use super::*;
use crate::clock::{Clock, SystemClock};

const TREE: &str = r#"{"accounts": [
        {"id": "top"},
        {"id": "mid", "parent": "top", "realm": "Mid.example.com", "name": "Middle"},
        {"id": "low", "parent": "mid"}],
      "devices": [{"id": "d1", "account_id": "mid", "username": "Bob", "owner_id": "u1"}]}"#;

#[test]
fn looks_up_in_any_case() {
    let directory = Directory::parse(TREE).unwrap();
    let mid = directory.account_of_realm("mid.EXAMPLE.com").unwrap();
    assert_eq!(&*mid.id, "mid");
    assert_eq!(directory.device("mid", "bOB").unwrap().id, "d1".into());
    assert_eq!(directory.device("low", "bob"), None);
    assert_eq!(directory.size(), (3, 1));
}

#[test]
fn an_account_includes_its_descendants() {
    let directory = Directory::parse(TREE).unwrap();
    assert!(directory.is_within("low", "top") && directory.is_within("low", "low"));
    assert!(!directory.is_within("top", "low") && !directory.is_within("unknown", "top"));
}

#[test]
fn refuses_with_the_place() {
    // Accounts of their devices, as people write and programs print them.
    let devices = |devices: &str| {
        format!(
            "{{\n \"accounts\": [\n  {{\"id\": \"a\"}},\n  {{\"id\": \"b\"}}\n ],\n \"devices\": [\n{devices}\n ]\n}}"
        )
    };
    let d1 = r#"  {"id": "d1", "account_id": "a", "username": "u1"},"#;
    let cases = [
        ("{\n\"accounts\": [}".to_owned(), "2:14: "),
        ("{\"account\": []}".to_owned(), "1:10: unknown field"),
        ("{\"accounts\": [\n{\"id\": 7}]}".to_owned(), "2:8: invalid type: integer `7`"),
        ("{\"accounts\": [\n{\"id\": \"a\"},\n {\n \"name\": 7}]}".to_owned(), "4:10: invalid type"),
        (
            "{\"accounts\": [\n{\"id\": \"a\", \"parent\": \"b\"}]}".to_owned(),
            "2:13: account \"a\" names the parent \"b\"",
        ),
        (
            "{\"accounts\": [\n{\"id\": \"a\"},\n{\"id\": \"a\"}]}".to_owned(),
            "3:2: two accounts have the id \"a\"",
        ),
        (
            "{\"accounts\": [\n{\"id\": \"a\", \"realm\": \"r\"},\n{\"id\": \"b\",\n\"realm\": \"R\"}]}".to_owned(),
            "4:1: two accounts have the realm \"R\"",
        ),
        (
            "{\"accounts\": [{\"id\": \"a\", \"parent\": \"a\"}]}".to_owned(),
            "1:27: account \"a\" lies below itself",
        ),
        (
            // An account's id stands in many devices; what is wrong is where the account stands.
            format!("{{\"accounts\": [\n{{\"id\": \"a\"}},\n{{\"id\": \"a\"}}],\n\"devices\": [\n{d1}\n{{\"id\": \"d2\", \"account_id\": \"a\", \"username\": \"u2\"}}]}}"),
            "3:2: two accounts have the id \"a\"",
        ),
        (
            devices(&format!("{d1}\n  {{\"id\": \"d2\", \"account_id\": \"c\", \"username\": \"a\"}}")),
            "8:16: device \"d2\" names the account \"c\"",
        ),
        (
            devices(&format!("{d1}\n  {{\"id\": \"d1\", \"account_id\": \"a\", \"username\": \"u2\"}}")),
            "8:4: two devices of the account \"a\" have the id \"d1\"",
        ),
        (
            devices(&format!("{d1}\n  {{\n   \"id\": \"d2\",\n   \"account_id\": \"a\",\n   \"username\": \"U1\"\n  }}")),
            "11:4: two devices of the account \"a\" have the username \"u1\"",
        ),
        (
            devices(&format!("{d1}\n  {{\"id\": \"d2\", \"account\": \"a\", \"username\": \"u2\"}}")),
            "8:24: unknown field `account`",
        ),
    ];
    for (text, expected) in cases {
        let message = Directory::parse(&text).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}\n{expected}");
        assert!(!message.contains(" at line "), "{message}");
    }
}

#[test]
fn devices_of_two_accounts_may_have_one_id() {
    let text = r#"{"accounts": [{"id": "a"}, {"id": "b"}], "devices": [
        {"id": "100", "account_id": "a", "username": "100"},
        {"id": "100", "account_id": "b", "username": "100"}]}"#;
    assert_eq!(Directory::parse(text).unwrap().size(), (2, 2));
}

#[test]
fn a_ring_of_accounts_ends() {
    let ring = r#"{"accounts": [{"id": "a", "parent": "b"}, {"id": "b", "parent": "c"}, {"id": "c", "parent": "b"}]}"#;
    let message = Directory::parse(ring).unwrap_err().to_string();
    assert!(message.contains("below itself"), "{message}");
}

#[test]
fn a_large_directory_is_read_in_little_time() {
    const DEVICES: usize = 100_000;
    let mut text = "{\"accounts\": [{\"id\": \"0\"}".to_owned();
    for number in 1..20_000 {
        // A chain: each account below the one before.
        write!(
            text,
            ",\n{{\"id\": \"{number}\", \"parent\": \"{}\"}}",
            number - 1
        )
        .unwrap();
    }
    text.push_str("], \"devices\": [");
    for number in 0..DEVICES {
        let comma = if number == 0 { "" } else { "," };
        let account = number % 20_000;
        write!(text, "{comma}\n{{\"id\": \"d{number}\", \"account_id\": \"{account}\", \"username\": \"user{number}\", \"type\": \"device\"}}").unwrap();
    }
    text.push_str("]}");
    let clock = SystemClock::new();
    let begin = clock.monotonic();
    let directory = Directory::parse(&text).unwrap();
    let took = clock.monotonic().saturating_sub(begin);
    assert_eq!(directory.size(), (20_000, DEVICES));
    assert!(directory.is_within("19999", "0"));
    // A walk to the top from each account is 200 million steps.
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn an_id_that_is_the_domain_is_found_in_any_case() {
    let directory = Directory::parse(
        r#"{"accounts": [{"id": "Acme.Test"}, {"id": "b", "realm": "b.test"}, {"id": "B.test"},
                         {"id": "Twin.test"}, {"id": "twin.TEST"}]}"#,
    )
    .unwrap();
    let owner = |domain: &str| directory.account_of_realm(domain).map(|it| &*it.id);
    for domain in ["acme.test", "ACME.TEST", "Acme.Test"] {
        assert_eq!(owner(domain), Some("Acme.Test"), "{domain}");
    }
    assert_eq!(owner("B.Test"), Some("b"), "the realm comes first");
    assert_eq!(owner("Twin.test"), Some("Twin.test"));
    assert_eq!(owner("twin.test"), None, "nobody knows which");
    assert_eq!(owner("c.test"), None);
}

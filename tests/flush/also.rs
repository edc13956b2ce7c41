//! Further calls, to a Kamailio that caches who may register.

use serde_json::json;

use super::{acme, flushed, globex};
use crate::oracle::{lists, of};
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;

fn cached(kamailio: &Kamailio, table: &str, key: &str) -> bool {
    let answer = kamailio.rpc("htable.get", &json!([table, key]));
    answer["result"]["item"]["value"] == "known"
}

#[test]
fn the_caches_of_what_is_flushed_are_cleared() {
    let kamailio = Kamailio::builder().cache(true).start();
    let also = "[flush]\nalso = [
    { method = \"htable.delete\", params = [\"auth_cache\", \"{username}@{realm}\"] },
    { method = \"htable.delete\", params = [\"realms\", \"{realm}\"] },
    { method = \"no.such_method\", params = [\"{aor}\"] },
]\n";
    let daemon = Daemon::builder(&kamailio).sections(also).start();
    let (acme, globex) = (acme(), globex());
    let mut alice = Phone::of(&kamailio, &acme.device("alice", 1));
    let mut bob = Phone::of(&kamailio, &acme.device("bob", 2));
    let mut eve = Phone::of(&kamailio, &globex.device("eve", 3));
    for phone in [&mut alice, &mut bob, &mut eve] {
        phone.register();
    }
    let all = [alice.contact_uri(), bob.contact_uri(), eve.contact_uri()];
    lists(&daemon, "/v2/registrations", &all);
    for key in [
        "alice@acme.example.com",
        "bob@acme.example.com",
        "eve@globex.example.com",
    ] {
        assert!(cached(&kamailio, "auth_cache", key), "{key}");
    }
    flushed(&daemon.delete(&format!("{}/alice", of(&acme))), 1);
    assert!(!cached(&kamailio, "auth_cache", "alice@acme.example.com"));
    assert!(cached(&kamailio, "auth_cache", "bob@acme.example.com"));
    assert!(!cached(&kamailio, "realms", "acme.example.com"));
    flushed(&daemon.delete(&of(&acme)), 1);
    assert!(!cached(&kamailio, "auth_cache", "bob@acme.example.com"));
    assert!(cached(&kamailio, "auth_cache", "eve@globex.example.com"));
    assert!(cached(&kamailio, "realms", "globex.example.com"));
    // A call that this Kamailio does not have is the operator's to know, once for each flush.
    let said = daemon.log().matches("check [flush] also").count();
    assert_eq!(said, 2, "{}", daemon.log());
}

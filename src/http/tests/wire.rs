//! `[http] wire = "kazoo-4.3"`: items as Kazoo 4.3 really writes them.

use super::site::{Site, details, phone, settings};
use crate::config::Limits;
use crate::registration::Registration;
use crate::registration::item::Wire;

const LIST: &str = "/v2/accounts/acme/registrations";

fn site() -> Site {
    let mut settings = settings();
    settings.wire = Wire::Kazoo43;
    let site = Site::with(settings, &Limits::default());
    let mut unknown = details("acme", "alice", 2);
    unknown.source = None;
    site.add([Registration::new(unknown), phone("acme", "bob", 1)]);
    site
}

#[tokio::test]
async fn ports_are_integers_and_what_is_unknown_is_absent() {
    let answer = site().get(LIST).answer().await;
    insta::assert_snapshot!("list", answer.show());
    let item = answer.data()[0].clone();
    assert_eq!(item["contact_port"], 5062);
    assert_eq!(item["proxy_port"], 5060);
    assert_eq!(item.get("network_ip"), None);
    assert_eq!(answer.data()[1]["network_port"], "5061");
}

#[tokio::test]
async fn csv_and_filters_see_the_same() {
    let site = site();
    let csv = site.get(&format!("{LIST}?accept=csv")).answer().await;
    insta::assert_snapshot!("csv", csv.show());
    for (query, users) in [
        ("filter_contact_port=5062", &["alice"][..]),
        ("filter_contact_port=5062.0", &["alice"]),
        ("filter_network_ip=undefined", &[]),
        ("key_missing=network_ip", &["alice"]),
        ("has_value=network_port", &["bob"]),
        ("filter_not_proxy_port=5060", &[]),
    ] {
        let answer = site.get(&format!("{LIST}?{query}")).answer().await;
        assert_eq!(answer.usernames(), users, "{query}");
    }
}

#[tokio::test]
async fn counts_and_errors_are_the_same_on_either_wire() {
    let site = site();
    let count = site.get(&format!("{LIST}/count")).answer().await;
    assert_eq!(count.data()["count"], 2);
    let page = site.get(&format!("{LIST}?page_size=1")).answer().await;
    assert_eq!(page.json()["page_size"], 1);
    assert!(page.json()["next_start_key"].is_string());
    let refused = site.get(&format!("{LIST}?filter_x=1")).answer().await;
    assert_eq!(refused.status, 400);
}

//! Pages of lists.

use http::StatusCode;

use super::site::{Site, phone};
use crate::registration::Change;

const LIST: &str = "/v2/accounts/acme/registrations";

fn site(phones: u16) -> Site {
    let site = Site::new();
    site.add((0..phones).map(|number| phone("acme", &format!("user{number:04}"), number)));
    site
}

#[tokio::test]
async fn pages_walk_the_whole_list() {
    let site = site(25);
    for query in [
        "page_size=10",
        "page_size=10&filter_not_username=user0003",
        "page_size=1",
        "page_size=25",
        "page_size=900",
    ] {
        let whole = site
            .get(&format!("{LIST}?{query}").replace("page_size", "x"))
            .answer()
            .await
            .usernames();
        let mut walked = Vec::new();
        let mut next = String::new();
        loop {
            let answer = site.get(&format!("{LIST}?{query}{next}")).answer().await;
            walked.extend(answer.usernames());
            match answer.json()["next_start_key"].as_str() {
                Some(key) => next = format!("&start_key={key}"),
                None => break,
            }
        }
        assert_eq!(walked, whole, "{query}");
    }
}

#[tokio::test]
async fn a_page_says_where_the_next_one_starts() {
    let site = Site::furnished();
    let first = site.get(&format!("{LIST}?page_size=2")).answer().await;
    insta::assert_snapshot!("first_page", first.show());
    let key = first.json()["next_start_key"].as_str().unwrap().to_owned();
    let last = site
        .get(&format!("{LIST}?page_size=2&start_key={key}"))
        .answer()
        .await;
    assert_eq!(last.usernames(), ["bob"]);
    assert_eq!(last.json().get("next_start_key"), None);
    assert_eq!(last.json()["start_key"], key.as_str());
}

#[tokio::test]
async fn a_start_key_alone_means_fifty() {
    let site = site(80);
    let first = site.get(&format!("{LIST}?page_size=1")).answer().await;
    let key = first.json()["next_start_key"].as_str().unwrap().to_owned();
    let answer = site.get(&format!("{LIST}?start_key={key}")).answer().await;
    assert_eq!(answer.usernames().len(), 50);
}

#[tokio::test]
async fn keys_survive_rows_that_come_and_go() {
    let site = site(10);
    let first = site.get(&format!("{LIST}?page_size=5")).answer().await;
    let key = first.json()["next_start_key"].as_str().unwrap().to_owned();
    site.registry.apply([Change::Remove(
        phone("acme", "user0004", 4).binding.key.clone(),
    )]);
    site.add([
        phone("acme", "user0002b", 100),
        phone("acme", "user0005b", 101),
    ]);
    let answer = site
        .get(&format!("{LIST}?page_size=3&start_key={key}"))
        .answer()
        .await;
    assert_eq!(answer.usernames(), ["user0005", "user0005b", "user0006"]);
}

#[tokio::test]
async fn one_users_contacts_have_pages_too() {
    let site = Site::furnished();
    let path = format!("{LIST}/BOB");
    let first = site.get(&format!("{path}?page_size=1")).answer().await;
    assert_eq!(first.usernames(), ["bob"]);
    let key = first.json()["next_start_key"].as_str().unwrap().to_owned();
    let last = site
        .get(&format!("{path}?page_size=1&start_key={key}"))
        .answer()
        .await;
    assert_eq!(last.usernames(), ["bob"]);
    assert_eq!(last.json().get("next_start_key"), None);
    assert_ne!(first.data()[0]["contact"], last.data()[0]["contact"]);
}

#[tokio::test]
async fn what_is_no_key_of_this_list_is_refused() {
    let site = Site::furnished();
    let first = site.get("/v2/registrations?page_size=1").answer().await;
    let foreign = first.json()["next_start_key"].as_str().unwrap().to_owned();
    for key in ["", "x", "AAAAAAAAAAAA", "%00", &foreign] {
        let answer = site.get(&format!("{LIST}?start_key={key}")).answer().await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{key}");
    }
    for size in ["0", "-1", "1e3", "", "many"] {
        let answer = site.get(&format!("{LIST}?page_size={size}")).answer().await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{size}");
    }
}

#[tokio::test]
async fn what_is_said_twice_must_be_the_same() {
    let site = Site::furnished();
    let first = site.get(&format!("{LIST}?page_size=1")).answer().await;
    let one = first.json()["next_start_key"].as_str().unwrap().to_owned();
    let second = site
        .get(&format!("{LIST}?page_size=1&start_key={one}"))
        .answer()
        .await;
    let two = second.json()["next_start_key"].as_str().unwrap().to_owned();
    for (query, status) in [
        (format!("page_size=1&start_key={one}&start_key={one}"), 200),
        ("page_size=1&page_size=1".to_owned(), 200),
        (format!("start_key={one}&start_key={two}"), 400),
        (format!("start_key={one}&start_key=x"), 400),
        ("page_size=1&page_size=2".to_owned(), 400),
        ("page_size=1&page_size=0".to_owned(), 400),
        ("page_size=1&page_size=x".to_owned(), 400),
    ] {
        let answer = site.get(&format!("{LIST}?{query}")).answer().await;
        assert_eq!(answer.status.as_u16(), status, "{query}");
    }
    let answer = site
        .get(&format!("{LIST}?page_size=1&page_size=2"))
        .answer()
        .await;
    insta::assert_snapshot!("contradiction", answer.show());
}

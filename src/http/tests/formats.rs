//! CSV, indented JSON, gzip, and DELETE in other clothes.

use http::{Method, StatusCode};
use tokio::io::AsyncReadExt;

use super::site::{Site, details};
use crate::registration::Registration;
use crate::registration::item::Field;

const LIST: &str = "/v2/accounts/acme/registrations";

#[tokio::test]
async fn csv_has_a_column_for_every_key() {
    let site = Site::furnished();
    let answer = site.get(LIST).header("accept", "text/csv").answer().await;
    insta::assert_snapshot!(answer.show());
    let mut reader = csv::Reader::from_reader(&*answer.body);
    let names: Vec<_> = Field::USUAL.iter().map(|field| field.name()).collect();
    assert_eq!(reader.headers().unwrap(), names);
    assert_eq!(reader.records().map(Result::unwrap).count(), 3);
}

#[tokio::test]
async fn csv_is_asked_for_in_many_ways() {
    let site = Site::furnished();
    let kind = async |ask: super::site::Ask<'_>| {
        let answer = ask.answer().await;
        answer
            .header("content-type")
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        kind(site.get(&format!("{LIST}?accept=csv"))).await,
        "text/csv"
    );
    assert_eq!(
        kind(site.get(&format!("{LIST}?accept=text/csv"))).await,
        "text/csv"
    );
    assert_eq!(
        kind(
            site.get(&format!("{LIST}?accept=json"))
                .header("accept", "text/csv")
        )
        .await,
        "application/json"
    );
    for (accept, expected) in [
        ("text/csv, */*;q=0.1", "text/csv"),
        ("application/json, text/csv;q=0.5", "application/json"),
        ("application/json;q=0.1, text/csv; q=0.5", "text/csv"),
        ("*/*", "application/json"),
        ("text/csv;q=0", "application/json"),
        ("image/png", "application/json"),
    ] {
        assert_eq!(
            kind(site.get(LIST).header("accept", accept)).await,
            expected,
            "{accept}"
        );
    }
    let answer = site
        .get(&format!("{LIST}?accept=csv&page_size=1"))
        .answer()
        .await;
    assert!(answer.header("x-next-start-key").is_some());
    let empty = site
        .get("/v2/accounts/empty/registrations?accept=csv")
        .answer()
        .await;
    assert_eq!(empty.text().lines().count(), 1);
}

#[tokio::test]
async fn lines_have_an_item_each_and_the_next_page_in_a_header() {
    let site = Site::furnished();
    let lines = "application/x-ndjson";
    let whole = site.get(LIST).answer().await.json();
    let answer = site.get(LIST).header("accept", lines).answer().await;
    assert_eq!(answer.header("content-type").unwrap(), lines);
    let text = answer.text();
    let items = text.lines().map(|line| serde_json::from_str(line).unwrap());
    assert_eq!(
        items.collect::<Vec<serde_json::Value>>(),
        *whole["data"].as_array().unwrap()
    );
    let page = format!("{LIST}?page_size=2");
    let answer = site.get(&page).header("accept", lines).answer().await;
    assert_eq!(answer.text().lines().count(), 2);
    assert!(answer.header("x-next-start-key").is_some());
    let empty = site.get("/v2/accounts/empty/registrations");
    assert_eq!(empty.header("accept", lines).answer().await.text(), "");
}

#[tokio::test]
async fn indented_answers_are_the_same_answers() {
    let site = Site::furnished();
    for path in [LIST.to_owned(), format!("{LIST}/count")] {
        let plain = site.get(&path).answer().await;
        for ask in [
            site.get(&path).header("x-pretty-print", "true"),
            site.get(&format!("{path}?pretty_print=true")),
        ] {
            let pretty = ask.answer().await;
            assert_eq!(pretty.json(), plain.json());
            assert!(
                pretty
                    .text()
                    .starts_with("{\n  \"auth_token\": \"ops-token\",\n  \"data\": ")
            );
            assert!(pretty.text().lines().count() > 10);
        }
    }
}

#[tokio::test]
async fn gzip_where_it_is_accepted_and_pays() {
    let site = Site::furnished();
    let plain = site.get(LIST).answer().await;
    let packed = site
        .get(LIST)
        .header("accept-encoding", "gzip")
        .answer()
        .await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let mut unpacked = Vec::new();
    let mut decoder = async_compression::tokio::bufread::GzipDecoder::new(&*packed.body);
    decoder.read_to_end(&mut unpacked).await.unwrap();
    assert_eq!(unpacked, plain.body);
    let small = site
        .get(&format!("{LIST}/count"))
        .header("accept-encoding", "gzip")
        .answer()
        .await;
    assert_eq!(small.header("content-encoding"), None);
}

#[tokio::test]
async fn a_post_may_say_delete() {
    let site = Site::furnished();
    let post = |query: &str| site.ask(Method::POST, &format!("{LIST}{query}"));
    for ask in [
        post("?verb=delete"),
        post("?verb=DELETE"),
        post("").body(r#"{"verb": "delete"}"#),
        post("").body(r#"{"data": {"verb": "Delete"}}"#),
    ] {
        let answer = ask.answer().await;
        assert_eq!(
            (answer.status, answer.header("x-flushed")),
            (StatusCode::OK, Some("3"))
        );
    }
    let asked = site.fake.asked.lock().unwrap().len();
    for ask in [post(""), post("?verb=get"), post("").body(r#"{"verb": 7}"#)] {
        assert_eq!(ask.answer().await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    let answer = site.get(&format!("{LIST}?verb=delete")).answer().await;
    assert_eq!(answer.usernames().len(), 3);
    assert_eq!(site.fake.asked.lock().unwrap().len(), asked);
}

#[tokio::test]
async fn odd_bytes_are_written_as_json_and_csv_want_them() {
    let site = Site::new();
    let mut odd = details("acme", "alice", 1);
    let mut binding = (*odd.binding).clone();
    binding.user_agent = Some(b"\x00\"q\\\x1f\xff,\r\n\x7f\xe2\x82\xac".as_slice().into());
    odd.binding = binding.into();
    site.add([Registration::new(odd)]);
    let expected = "\0\"q\\\u{1f}\u{fffd},\r\n\u{7f}€";
    assert_eq!(
        site.get(LIST).answer().await.data()[0]["user_agent"],
        expected
    );
    let csv = site.get(&format!("{LIST}?accept=csv")).answer().await;
    let mut reader = csv::Reader::from_reader(&*csv.body);
    let record = reader.records().next().unwrap().unwrap();
    let column = Field::ALL
        .iter()
        .position(|field| *field == Field::UserAgent)
        .unwrap();
    assert_eq!(&record[column], expected);
}

#[tokio::test]
async fn nobody_is_refused_for_the_codings_that_they_accept() {
    let site = Site::furnished();
    for accepted in ["*;q=0", "gzip;q=0, identity;q=0", "identity;q=0", "br"] {
        let answer = site
            .delete(LIST)
            .header("accept-encoding", accepted)
            .answer()
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{accepted}");
        assert_eq!(answer.header("content-encoding"), None, "{accepted}");
        assert_eq!(answer.data(), "ok");
    }
}

#[tokio::test]
async fn errors_are_indented_as_well() {
    let site = Site::furnished();
    for ask in [
        site.get(&format!("{LIST}/ghost?pretty_print=true")),
        site.get("/nothing").header("x-pretty-print", "true"),
        site.delete(LIST).body("{").header("x-pretty-print", "True"),
        site.get(&format!("{LIST}?pretty_print=true"))
            .without("x-auth-token"),
    ] {
        let answer = ask.answer().await;
        assert!(answer.status.is_client_error());
        assert!(answer.text().starts_with("{\n  \"data\": "), "{answer:?}");
        assert_eq!(answer.json()["status"], "error");
    }
}

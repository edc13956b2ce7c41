//! `revision`, `ETag` and `If-None-Match`, whatever the form of the answer.

use http::{Method, StatusCode};

use super::site::{Answer, Site, phone};

const LIST: &str = "/v2/accounts/acme/registrations";

/// Every form in which the API shows rows.
const FORMS: [&str; 9] = [
    LIST,
    "/v2/accounts/acme/registrations?pretty_print=true",
    "/v2/accounts/acme/registrations?filter_username=bob",
    "/v2/accounts/acme/registrations?page_size=1",
    "/v2/accounts/acme/registrations?accept=csv",
    "/v2/accounts/acme/registrations/bob",
    "/v2/accounts/acme/registrations/count",
    "/v2/registrations",
    "/v2/registrations/count",
];

fn tag(answer: &Answer) -> String {
    answer.header("etag").unwrap().to_owned()
}

#[tokio::test]
async fn who_holds_the_revision_gets_nothing_new() {
    let site = Site::furnished();
    for form in FORMS {
        let get = site.get(form).answer().await;
        let own = tag(&get);
        for (method, coding) in [
            (Method::GET, "identity"),
            (Method::GET, "gzip"),
            (Method::HEAD, "gzip"),
        ] {
            for held in [&own, "*", &format!("\"x\", W/\"y\" ,{own}"), &own[2..]] {
                let ask = site.ask(method.clone(), form);
                let ask = ask.header("accept-encoding", coding);
                let answer = ask.header("if-none-match", held).answer().await;
                assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{form} {held}");
                assert!(answer.body.is_empty());
                assert_eq!(tag(&answer), own);
                assert_eq!(answer.header("cache-control"), get.header("cache-control"));
                assert_eq!(answer.header("vary"), get.header("vary"));
            }
            let ask = site
                .ask(method, form)
                .header("if-none-match", "\"x\", W/\"y\"");
            assert_eq!(ask.answer().await.status, StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn the_form_does_not_change_the_revision() {
    let site = Site::furnished();
    let own = tag(&site.get(LIST).answer().await);
    for ask in [
        site.get(LIST).header("accept", "text/csv"),
        site.get(LIST).header("accept-encoding", "gzip"),
        site.get(LIST).header("x-pretty-print", "true"),
        site.ask(Method::HEAD, LIST),
        site.get(&format!("{LIST}/count")),
        site.get(&format!("{LIST}?has_key=username")),
    ] {
        assert_eq!(tag(&ask.answer().await), own);
    }
    let csv = site.get(LIST).header("accept", "text/csv");
    let csv = csv.header("if-none-match", &own).answer().await;
    assert_eq!(csv.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_change_shows_in_the_answers_that_it_changes_and_in_no_other() {
    let site = Site::furnished();
    let mut before = Vec::new();
    for form in FORMS {
        before.push(tag(&site.get(form).answer().await));
    }
    site.add([phone("other", "dave", 9)]);
    for (form, former) in FORMS.into_iter().zip(before) {
        let ask = site.get(form).header("if-none-match", &former);
        let is_of_all = form.starts_with("/v2/registrations");
        let expected = if is_of_all {
            StatusCode::OK
        } else {
            StatusCode::NOT_MODIFIED
        };
        assert_eq!(ask.answer().await.status, expected, "{form}");
    }
}

#[tokio::test]
async fn a_bad_query_is_refused_whatever_is_held() {
    let site = Site::furnished();
    let ask = site.get(&format!("{LIST}?page_size=0"));
    let answer = ask.header("if-none-match", "*").answer().await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn not_modified_is_shown() {
    let site = Site::furnished();
    let ask = site.get(LIST).header("if-none-match", "*");
    insta::assert_snapshot!(ask.answer().await.show());
}

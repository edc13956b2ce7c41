//! HEAD: what GET says, without the body.

use http::{Method, StatusCode};

use super::site::{Site, phone};

const LIST: &str = "/v2/accounts/acme/registrations";

fn site(phones: u16) -> Site {
    let site = Site::furnished();
    site.add((0..phones).map(|number| phone("acme", &format!("user{number}"), number + 10)));
    site
}

#[tokio::test]
async fn head_has_the_headers_of_get() {
    // Written in one piece, in pieces, and as the caller takes it.
    for phones in [0, 60, 2000] {
        let site = site(phones);
        for path in [
            LIST,
            "/v2/registrations",
            "/v2/accounts/acme/registrations/bob",
        ] {
            for query in [
                "",
                "?filter_cseq=7",
                "?accept=csv",
                "?pretty_print=true",
                "?page_size=2",
                "?page_size=0",
            ] {
                for coding in ["identity", "gzip"] {
                    let uri = format!("{path}{query}");
                    let ask = |method| site.ask(method, &uri).header("accept-encoding", coding);
                    let get = ask(Method::GET).answer().await;
                    let head = ask(Method::HEAD).answer().await;
                    assert_eq!(head.status, get.status);
                    assert!(head.body.is_empty());
                    assert_eq!(head.headers, get.headers, "{uri} {coding} {phones}");
                }
            }
        }
    }
}

#[tokio::test]
async fn head_says_nothing_of_a_length_that_is_not_known() {
    let site = site(2000);
    let head = site.ask(Method::HEAD, LIST).answer().await;
    assert_eq!(head.header("content-length"), None);
    let packed = site
        .ask(Method::HEAD, LIST)
        .header("accept-encoding", "gzip");
    let packed = packed.answer().await;
    assert_eq!(packed.header("content-length"), None);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
}

#[tokio::test]
async fn head_is_shown() {
    let site = site(0);
    for (name, path) in [
        ("list", LIST.to_owned()),
        ("count", format!("{LIST}/count")),
    ] {
        insta::assert_snapshot!(name, site.ask(Method::HEAD, &path).answer().await.show());
    }
    let refused = site.ask(Method::HEAD, LIST).without("x-auth-token");
    insta::assert_snapshot!("refused", refused.answer().await.show());
    let unknown = site
        .ask(Method::HEAD, &format!("{LIST}/ghost"))
        .answer()
        .await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert!(unknown.body.is_empty());
}

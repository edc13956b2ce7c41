//! What is answered before the view has what an earlier run kept.

use http::{Method, StatusCode};

use super::site::{Site, World, phone, settings};
use crate::config::Limits;

const LIST: &str = "/v2/accounts/acme/registrations";

fn starting() -> Site {
    Site::starting(settings(), &Limits::default(), World::default())
}

#[tokio::test]
async fn a_request_waits_for_the_view() {
    let site = starting();
    let restore = async {
        let health = site.get("/livez").answer().await;
        assert_eq!(health.status, StatusCode::OK);
        let health = site.get("/readyz").answer().await;
        assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE);
        site.restore([phone("acme", "bob", 1), phone("acme", "alice", 2)]);
    };
    let (answer, ()) = tokio::join!(site.get(LIST).answer(), restore);
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_request_does_not_wait_for_ever() {
    let site = starting();
    let (list, flush) = tokio::join!(
        site.get(LIST).answer(),
        site.ask(Method::DELETE, LIST).answer()
    );
    for answer in [list, flush] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.json()["message"], "datastore_unreachable");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
}

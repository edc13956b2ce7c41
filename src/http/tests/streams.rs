//! Answers that never end are passed on as they come.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream::{self, StreamExt};
use http::{Request, header};
use http_body_util::BodyExt;

use super::site::Site;
use crate::http::auth::peer::Peer;
use crate::http::server::middleware::around;

/// A stream of this type: one piece, larger than what is compressed at once, and nothing more.
fn stream_of(kind: &'static str) -> Response {
    let first = Bytes::from("x".repeat(1000));
    let pieces = stream::iter([Ok::<_, Infallible>(first)]).chain(stream::pending());
    let mut response = Response::new(Body::from_stream(pieces));
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[tokio::test]
async fn gzip_holds_no_event_back() {
    let site = Site::new();
    for (kind, is_stream) in [
        ("text/event-stream", true),
        ("text/event-stream; charset=utf-8", true),
        ("application/x-ndjson", true),
        ("application/json", false),
    ] {
        let request = Request::get("/events")
            .header(header::HOST, "localhost")
            .header(header::ACCEPT_ENCODING, "gzip")
            .body(Body::empty())
            .unwrap();
        let events = |_, _| std::future::ready(stream_of(kind));
        let mut response = around(&site.app, Peer::UNKNOWN, request, events).await;
        let is_plain = !response.headers().contains_key(header::CONTENT_ENCODING);
        assert_eq!(is_plain, is_stream, "{kind}");
        if is_stream {
            let first = tokio::time::timeout(Duration::from_secs(5), response.frame()).await;
            let first = first.expect("the first piece is not held back");
            assert_eq!(first.unwrap().unwrap().into_data().unwrap().len(), 1000);
        }
    }
}

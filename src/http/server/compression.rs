//! gzip for callers who accept it, from the size on from which Kazoo uses it.

use std::convert::Infallible;
use std::future::Future;

use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt;
use http::{Request, header};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use crate::http::response::page;

/// Answers that are worth it. Never streams: what is compressed waits until there is enough of it.
fn worth_it() -> impl Predicate {
    let streams = NotForContentType::SSE.and(NotForContentType::const_new("application/x-ndjson"));
    SizeAbove::new(300).and(streams)
}

/// The answer that `next` gives, compressed where `Accept-Encoding` says gzip.
pub(super) async fn around<F>(request: Request<Body>, next: impl Fn(Request<Body>) -> F) -> Response
where
    F: Future<Output = Response>,
{
    if !request.headers().contains_key(header::ACCEPT_ENCODING) {
        let mut response = next(request).await;
        if worth_it().should_compress(&response) {
            let coding = header::ACCEPT_ENCODING.into();
            response.headers_mut().append(header::VARY, coding);
        }
        return response;
    }
    // The page is small, and each browser takes it once.
    let quality = if page::has(request.uri().path()) {
        CompressionLevel::Best
    } else {
        CompressionLevel::Fastest
    };
    let gzip = CompressionLayer::new()
        .gzip(true)
        .quality(quality)
        .compress_when(worth_it());
    let plain = service_fn(|request| next(request).map(Ok::<_, Infallible>));
    let Ok(response) = gzip.layer(plain).oneshot(request).await;
    response.map(Body::new)
}

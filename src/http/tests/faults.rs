//! Our own defects: a panic anywhere is answered 500, and the log has the request's id.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Frame;
use tracing_subscriber::fmt::MakeWriter;

use super::site::Site;
use crate::http::App;
use crate::http::auth::peer::Peer;
use crate::http::server::middleware::around;

/// A body that has some bytes to give, and then is broken.
struct Broken(bool);

impl hyper::body::Body for Broken {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        assert!(!self.0, "asked to panic");
        self.0 = true;
        let bytes = Bytes::from_static(b"{\"data\": [");
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

#[expect(clippy::unused_async, reason = "it panics while it is awaited")]
async fn broken(request: Request<Body>) -> Response {
    match request.uri().path() {
        "/v2/registrations" => Response::new(Body::new(Broken(false))),
        _ => panic!("asked to panic"),
    }
}

async fn ask(app: &Arc<App>, path: &str, id: &str, coding: &str) -> Response {
    let request = Request::get(path)
        .header("host", "localhost")
        .header("x-request-id", id)
        .header("accept-encoding", coding)
        .body(Body::empty())
        .unwrap();
    around(app, Peer::UNKNOWN, request, |_, request| broken(request)).await
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    fn has(&self, id: &str) -> bool {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .any(|line| line.contains("answering a request panicked") && line.contains(id))
    }
}

#[tokio::test]
async fn a_panic_anywhere_is_a_fault_with_an_id() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let site = Site::furnished();
    for path in [
        "/metrics",
        "/openapi.json",
        "/v2/accounts/acme/registrations",
    ] {
        let id = format!("panic-of{}", path.replace('/', "-"));
        let response = ask(&site.app, path, &id, "identity").await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()["x-request-id"], *id);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let envelope: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(envelope["message"], "unspecified_fault");
        assert_eq!(envelope["request_id"], *id);
        assert!(log.has(&id), "{path}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_shows_it() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let site = Site::furnished();
    for coding in ["identity", "gzip"] {
        let id = format!("broken-{coding}");
        let response = ask(&site.app, "/v2/registrations", &id, coding).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.into_body().collect().await.is_err(), "{coding}");
        assert!(log.has(&id), "{coding}");
    }
}

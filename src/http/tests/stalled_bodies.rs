//! Bodies that do not come, or not whole.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::Method;
use hyper::body::Frame;

use super::site::{Site, settings};
use crate::config::Limits;

const LIST: &str = "/v2/accounts/acme/registrations";

/// A body that never comes.
struct Never;

impl hyper::body::Body for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

/// A body that breaks off.
struct Cut;

impl hyper::body::Body for Cut {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into())))
    }
}

#[tokio::test]
async fn a_body_that_is_late_or_cut_is_told_so() {
    let limits = Limits {
        header_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let site = Site::with(settings(), &limits);
    for (name, body) in [("late", Body::new(Never)), ("cut", Body::new(Cut))] {
        let ask = site.ask(Method::DELETE, LIST).body(body);
        insta::assert_snapshot!(name, ask.answer().await.show());
    }
    assert!(site.fake.asked.lock().unwrap().is_empty());
}

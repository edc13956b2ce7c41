//! One connection, from its first byte to its end.
//!
//! What we have written arrives, even if the other side still sends: a socket that is closed while there are bytes to be
//! read resets the connection, and a reset may take an answer away that has not been read yet. So our side is closed
//! first, and what still comes is thrown away: some bytes, for some seconds.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::to_bytes;
use axum::response::Response;
use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::http::App;
use crate::http::api::refuse;
use crate::http::error::Error;
use crate::http::request::request_id::X_REQUEST_ID;
use crate::http::server::parse_errors::Unread;
use crate::http::server::write_timeout::Patient;

/// A request's head, at most; a larger one is answered 431, or 414 where it is the request line that is too long.
const HEAD_BYTES: usize = 64 << 10;

/// How long a caller may take nothing of an answer.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// How long a connection that is new when everything ends may take to begin its first request: it was accepted, and
/// with systemd's sockets the next usrlocd would have had it.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Bytes that are thrown away at the end, at most.
const LINGER_BYTES: u64 = 16 << 20;

/// How long that may take, and how long when everything ends.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_AT_THE_END: Duration = Duration::from_millis(100);

/// An answer under way.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// When connections end.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    /// Each ends after the request that is under way.
    pub(crate) shutdown: CancellationToken,
    /// Each ends at once.
    pub(crate) cut_off: CancellationToken,
}

/// Answers the requests of one connection until it ends.
pub(crate) async fn run<S, F>(app: &Arc<App>, stream: S, ends: &Ends, answer: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> Answering + Unpin,
{
    let stream = Unread::new(Patient::new(stream, WRITE_PATIENCE));
    let has_begun = AtomicBool::new(false);
    let answer = |request| {
        has_begun.store(true, Ordering::Relaxed);
        answer(request)
    };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.limits.borrow().header_timeout)
        // Who has said all and closes the way here still wants the answer.
        .half_close(true)
        .max_buf_size(HEAD_BYTES)
        .max_header_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), hyper::service::service_fn(answer));
    let last_moment = async {
        ends.shutdown.cancelled().await;
        if !has_begun.load(Ordering::Relaxed) {
            tokio::time::sleep(FIRST_REQUEST).await;
        }
    };
    tokio::pin!(last_moment);
    let mut draining = false;
    let ended = loop {
        let ended = poll_fn(|context| connection.poll_without_shutdown(context));
        tokio::select! {
            ended = ended => break ended,
            () = &mut last_moment, if !draining => {
                draining = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            () = ends.cut_off.cancelled() => return,
        }
    };
    let parts = connection.into_parts();
    let (mut stream, unread) = parts.io.into_inner().into_parts();
    let mut why = unread.map(|status| unreadable(status, &parts.read_buf));
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
        // Whoever has sent nothing yet waits for nothing.
        if error.is_timeout() && !parts.read_buf.is_empty() {
            why = Some(Error::HeadTooSlow);
        }
    }
    let last = async {
        if let Some(why) = why {
            say(app, &mut stream, &why).await;
        }
        close(stream, ends).await;
    };
    tokio::select! {
        () = last => {}
        () = ends.cut_off.cancelled() => {}
    }
}

/// What hyper means by its own answer to `head`.
fn unreadable(status: StatusCode, head: &[u8]) -> Error {
    let line = head.split(|byte| *byte == b'\n').next();
    let is_long = line.is_some_and(|line| line.len() > HEAD_BYTES / 2);
    match status {
        StatusCode::URI_TOO_LONG => Error::UriTooLong,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE if is_long => Error::UriTooLong,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Error::HeadTooLarge,
        _ => Error::HeadUnreadable,
    }
}

/// Answers a request whose head could not be read; it is the connection's last.
async fn say(app: &App, stream: &mut (impl AsyncWrite + Unpin), why: &Error) {
    let id = app.request_ids.fresh();
    let (mut parts, body) = refuse(app, &id, why, false).into_parts();
    app.metrics.http.unreadable(parts.status.as_u16());
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return;
    };
    parts.headers.insert(X_REQUEST_ID, id.header());
    parts
        .headers
        .insert(header::CONTENT_LENGTH, body.len().into());
    let close = HeaderValue::from_static("close");
    parts.headers.insert(header::CONNECTION, close);
    let reason = parts.status.canonical_reason().unwrap_or_default();
    let mut text = format!("HTTP/1.1 {} {reason}\r\n", parts.status.as_str()).into_bytes();
    for (name, value) in &parts.headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(&body);
    // Whoever is gone needs no answer.
    let _ = stream.write_all(&text).await;
}

/// Ends a connection without a reset, if the other side ends it as well.
async fn close(mut stream: impl AsyncRead + AsyncWrite + Unpin, ends: &Ends) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut rest = stream.take(LINGER_BYTES);
    let mut nowhere = tokio::io::sink();
    let the_end = async {
        ends.shutdown.cancelled().await;
        tokio::time::sleep(LINGER_AT_THE_END).await;
    };
    tokio::select! {
        // However that goes, the connection is over.
        _ = tokio::io::copy(&mut rest, &mut nowhere) => {}
        () = tokio::time::sleep(LINGER) => {}
        () = the_end => {}
    }
}

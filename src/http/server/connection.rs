//! One connection, from its first byte to its end.
//!
//! An answer must arrive even if the client is still sending: closing a socket that has unread bytes resets the connection,
//! and a reset can discard an answer that the client has not read yet. So our side is closed first, and what still comes
//! in is read and discarded, up to a number of bytes and seconds.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::to_bytes;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::head_timer::HeadTimer;
use super::middleware;
use super::parse_errors::ParseErrors;
use crate::http::App;
use crate::http::error::Error;
use crate::http::request::format::Layout;
use crate::http::response::answer::refuse;
use crate::http::socket::{Patient, Socket};

/// A request's head, at most; a larger one is answered 431, or 414 where it is the request line that is too long.
const HEAD_BYTES: usize = 64 << 10;

/// How long a connection that has just been accepted at shutdown may take to send its first request. With systemd's sockets
/// the next usrlocd would have accepted it.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Bytes that are discarded at the end of a connection, at most.
const LINGER_BYTES: u64 = 16 << 20;

/// How long that may take, and how long at shutdown.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_AT_SHUTDOWN: Duration = Duration::from_millis(100);

/// When connections end.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    /// Each ends after the request that is under way.
    pub(crate) shutdown: CancellationToken,
    /// Each ends at once.
    pub(crate) cut_off: CancellationToken,
}

/// What a connection is told by the server.
enum Signal {
    /// To end after the request that is under way.
    Drain,
    /// To end at once.
    CutOff,
    /// To look whether a head is late.
    HeadLate,
}

/// Says when a connection is to end: at shutdown, but a new one may send its first request.
async fn drain(ends: &Ends, has_begun: &AtomicBool) -> Signal {
    ends.shutdown.cancelled().await;
    if !has_begun.load(Ordering::Relaxed) {
        tokio::time::sleep(FIRST_REQUEST).await;
    }
    Signal::Drain
}

/// Answers the requests of one connection until it ends.
pub(crate) async fn run<F, A>(app: &Arc<App>, socket: Socket, ends: &Ends, answer: F)
where
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Response>,
{
    let stream = ParseErrors::new(Patient::from(socket));
    let has_begun = AtomicBool::new(false);
    let answer = |request| {
        has_begun.store(true, Ordering::Relaxed);
        // hyper wants a future that can be moved.
        Box::pin(answer(request).map(Ok::<_, Infallible>))
    };
    let head_timeout = app.limits.borrow().header_timeout;
    let head_timer = HeadTimer::new();
    let mut connection = http1::Builder::new()
        .timer(head_timer.clone())
        .header_read_timeout(head_timeout)
        // A client that has closed its sending side still wants the answer.
        .half_close(true)
        .max_buf_size(HEAD_BYTES)
        .max_header_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), hyper::service::service_fn(answer));
    // Looked at when they fire, and not with every request.
    let mut signals = FuturesUnordered::new();
    signals.push(drain(ends, &has_begun).boxed());
    signals.push(ends.cut_off.cancelled().map(|()| Signal::CutOff).boxed());
    let late = || {
        head_timer
            .clone()
            .late(head_timeout)
            .map(|()| Signal::HeadLate)
    };
    signals.push(late().boxed());
    let ended = loop {
        let ended = poll_fn(|context| connection.poll_without_shutdown(context));
        tokio::select! {
            biased;
            ended = ended => break ended,
            Some(signal) = signals.next() => match signal {
                Signal::Drain => std::pin::Pin::new(&mut connection).graceful_shutdown(),
                Signal::CutOff => return,
                // hyper sees by itself that its time is over.
                Signal::HeadLate => signals.push(late().boxed()),
            },
        }
    };
    let parts = connection.into_parts();
    let (mut stream, unread) = parts.io.into_inner().into_parts();
    let mut why = unread.map(|status| unreadable(status, &parts.read_buf));
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
        // A client that has sent nothing expects no answer.
        if error.is_timeout() && !parts.read_buf.is_empty() {
            why = Some(Error::HeadTooSlow);
        }
    }
    let last = async {
        if let Some(why) = why {
            answer_unreadable(app, &mut stream, &why).await;
        }
        close(stream, ends).await;
    };
    tokio::select! {
        () = last => {}
        () = ends.cut_off.cancelled() => {}
    }
}

/// Why hyper could not read `head`, by the status of its own answer.
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
async fn answer_unreadable(app: &App, stream: &mut (impl AsyncWrite + Unpin), why: &Error) {
    let id = app.request_ids.fresh();
    let response = refuse(app, &id, why, Layout::Compact);
    let (mut parts, body) = middleware::identified(response, id, None, false).into_parts();
    app.metrics.http.unreadable(parts.status.as_u16());
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return;
    };
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
    // The client may be gone.
    let _ = stream.write_all(&text).await;
}

/// Ends a connection without a reset, if the other side ends it as well.
async fn close(mut stream: impl AsyncRead + AsyncWrite + Unpin, ends: &Ends) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut rest = stream.take(LINGER_BYTES);
    let mut nowhere = tokio::io::sink();
    let shutdown = async {
        ends.shutdown.cancelled().await;
        tokio::time::sleep(LINGER_AT_SHUTDOWN).await;
    };
    tokio::select! {
        // Either way the connection is over.
        _ = tokio::io::copy(&mut rest, &mut nowhere) => {}
        () = tokio::time::sleep(LINGER) => {}
        () = shutdown => {}
    }
}

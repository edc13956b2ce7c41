//! A receiver of webhooks: a real HTTP server that answers as it is told.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// How a request is answered.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// With this status, and a header.
    Status(u16),
    /// With this status and this header.
    With(u16, &'static str, String),
    /// Never.
    Never,
    /// By closing the connection.
    Close,
    /// With 200 and a body of 100 MB.
    Huge,
    /// With 200 and a body that never ends.
    Endless,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    pub(super) shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    got: Mutex<Vec<Got>>,
    /// The answers to come; after them 200.
    answers: Mutex<Vec<Answer>>,
    /// Bytes of large bodies that were taken.
    pub(super) taken: AtomicUsize,
    pub(super) connections: AtomicUsize,
}

type Body = BoxBody<Bytes, Infallible>;

impl Receiver {
    /// A receiver that gives these answers, and then 200.
    pub(super) async fn start(answers: &[Answer]) -> Self {
        Self::start_with(answers, None).await
    }

    /// The same over TLS.
    pub(super) async fn start_with(answers: &[Answer], tls: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        shared.answers.lock().unwrap().extend_from_slice(answers);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared), tls));
        Self {
            address,
            shared,
            _tasks: tasks,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hook?key=hidden", self.address)
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tls: Option<ServerConfig>) {
    let tls = tls.map(|tls| TlsAcceptor::from(Arc::new(tls)));
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        connections.spawn(async move {
            match tls {
                None => serve(stream, shared).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, shared).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send, shared: Arc<Shared>) {
    let service = service_fn(|request| answer(request, Arc::clone(&shared)));
    // How a connection ends is the client's affair.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    shared.got.lock().unwrap().push(Got {
        path: head.uri.to_string(),
        headers: head.headers,
        body,
    });
    let answer = {
        let mut answers = shared.answers.lock().unwrap();
        if answers.is_empty() {
            Answer::Status(200)
        } else {
            answers.remove(0)
        }
    };
    let (status, header, body) = match answer {
        Answer::Status(status) => (status, None, empty()),
        Answer::With(status, name, value) => (status, Some((name, value)), empty()),
        Answer::Never => pending().await,
        Answer::Close => return Err(io::Error::other("told to")),
        Answer::Huge => (200, None, large(shared, 1600)),
        Answer::Endless => (200, None, endless()),
    };
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    if let Some((name, value)) = header {
        response = response.header(name, value);
    }
    Ok(response.body(body).unwrap())
}

fn empty() -> Body {
    Empty::new().boxed()
}

/// So many pieces of 64 KiB.
fn large(shared: Arc<Shared>, pieces: usize) -> Body {
    let frame = move |_| {
        shared.taken.fetch_add(64 << 10, Ordering::Relaxed);
        Ok(Frame::data(Bytes::from(vec![b'x'; 64 << 10])))
    };
    StreamBody::new(stream::iter((0..pieces).map(frame))).boxed()
}

fn endless() -> Body {
    StreamBody::new(stream::pending()).boxed()
}

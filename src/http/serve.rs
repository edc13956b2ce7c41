//! Serves the API on sockets: connections, their limits, and their end.

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::App;
use super::api::refuse;
use super::error::Error;
use super::measured::Watch;
use super::peer::Peer;
use super::request_id::X_REQUEST_ID;
use crate::rate_limited::RateLimited;

/// Connections above the limit that are told so; further ones wait to be accepted.
const TURNED_AWAY: usize = 64;

/// A request's head, at most; hyper answers 431 to a larger one.
const HEAD_BYTES: usize = 64 << 10;

/// How long a caller may take nothing of an answer.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// How long to rest after the system refused a connection, for instance for want of file descriptors.
const REST: Duration = Duration::from_millis(100);

/// Where the API is served; bound, and the Unix socket's file with its final owner and mode.
#[derive(Debug, Default)]
pub struct Listeners {
    /// On TCP.
    pub tcp: Vec<TcpListener>,
    /// Where the peer's user decides what it may do.
    pub unix: Option<UnixListener>,
}

/// Serves until `shutdown`, then answers what was asked before; after `grace` it cuts off the rest.
/// Returns whether all was answered.
pub async fn serve(
    listeners: Listeners,
    app: Arc<App>,
    shutdown: CancellationToken,
    grace: Duration,
) -> bool {
    let server = Server {
        router: super::router(Arc::clone(&app)),
        room: Room::default(),
        hall: Arc::new(Semaphore::new(TURNED_AWAY)),
        tasks: TaskTracker::new(),
        cut_off: CancellationToken::new(),
        shutdown,
        app,
    };
    for listener in listeners.tcp {
        server.tasks.spawn(server.clone().accept_tcp(listener));
    }
    if let Some(listener) = listeners.unix {
        server.tasks.spawn(server.clone().accept_unix(listener));
    }
    server.shutdown.cancelled().await;
    server.tasks.close();
    server.app.flushes.close();
    let drained = tokio::time::timeout(grace, async {
        server.tasks.wait().await;
        server.app.flushes.wait().await;
    });
    let is_drained = drained.await.is_ok();
    server.cut_off.cancel();
    server.tasks.wait().await;
    is_drained
}

#[derive(Clone)]
struct Server {
    app: Arc<App>,
    router: Router,
    room: Room,
    /// Room for those who are turned away.
    hall: Arc<Semaphore>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    cut_off: CancellationToken,
}

/// The connections that are open. How many there may be can change while they are.
#[derive(Clone, Default)]
struct Room(Arc<AtomicUsize>);

/// A place in it, which is free again when this is dropped.
struct Seat(Room);

impl Room {
    /// A place, while fewer than `most` are taken.
    fn enter(&self, most: usize) -> Option<Seat> {
        let seat = Seat(self.clone());
        let taken = self.0.fetch_add(1, Ordering::Relaxed);
        (taken < most).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who may do all over the Unix socket: root, the socket's owner, and members of its group.
#[derive(Clone, Copy, Debug)]
struct Household {
    owner: u32,
    group: u32,
    /// Nobody else can connect at all.
    closed: bool,
}

impl Server {
    async fn accept_tcp(self, listener: TcpListener) {
        let mut trouble = RateLimited::default();
        loop {
            let accepted = tokio::select! {
                () = self.shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    // Answers are written whole; waiting for more would only delay them.
                    let _ = stream.set_nodelay(true);
                    let peer = Peer::Host(address.ip().to_canonical());
                    self.recovered(&mut trouble);
                    self.take_in(stream, peer).await;
                }
                Err(error) => self.rest(&mut trouble, &error).await,
            }
        }
    }

    async fn accept_unix(self, listener: UnixListener) {
        let household = Household::of(&listener);
        let mut trouble = RateLimited::default();
        loop {
            let accepted = tokio::select! {
                () = self.shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let peer = household.peer(&stream);
                    self.recovered(&mut trouble);
                    self.take_in(stream, peer).await;
                }
                Err(error) => self.rest(&mut trouble, &error).await,
            }
        }
    }

    /// Rests after the system refused a connection.
    async fn rest(&self, trouble: &mut RateLimited, error: &io::Error) {
        if let Some(say) = trouble.failed(self.app.clock.monotonic()) {
            let (count, lasting) = (say.count(), say.seconds());
            tracing::warn!(count, lasting, %error, "the system refused a connection");
        }
        tokio::time::sleep(REST).await;
    }

    /// Says that connections are accepted again, where they were refused.
    fn recovered(&self, trouble: &mut RateLimited) {
        if let Some(recovered) = trouble.succeeded(self.app.clock.monotonic()) {
            let (failures, lasted) = (recovered.failures, recovered.lasted.as_secs());
            tracing::info!(failures, lasted, "the system gives connections again");
        }
    }

    /// Serves a connection, or turns it away where there are too many.
    async fn take_in<S>(&self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(super::patience::Patient::new(stream, WRITE_PATIENCE));
        let most = self.app.limits.borrow().connections;
        if let Some(seat) = self.room.enter(most) {
            self.tasks.spawn(self.clone().attend(stream, peer, seat));
            return;
        }
        self.app.metrics.http.turned_away();
        let room = tokio::select! {
            () = self.shutdown.cancelled() => return,
            room = Arc::clone(&self.hall).acquire_owned() => room,
        };
        if let Ok(room) = room {
            self.tasks.spawn(self.clone().turn_away(stream, room));
        }
    }

    async fn attend<S>(self, stream: TokioIo<S>, peer: Peer, _seat: Seat)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (router, app) = (self.router.clone(), Arc::clone(&self.app));
        let _open = app.metrics.http.opened();
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let watch = Watch::start(&app, &request);
            let answer = router.clone().call(request);
            watch.over(answer)
        });
        self.run(stream, service).await;
    }

    async fn turn_away<S>(self, stream: TokioIo<S>, _room: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let app = Arc::clone(&self.app);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let response = overloaded(&app, &request);
            std::future::ready(Ok::<_, Infallible>(response))
        });
        self.run(stream, service).await;
    }

    /// Answers the requests of one connection until it ends.
    async fn run<S, R>(&self, stream: TokioIo<S>, service: R)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        R: hyper::service::Service<Request<Incoming>, Response = Response, Error = Infallible>,
        R::Future: Send + 'static,
    {
        let header_timeout = self.app.limits.borrow().header_timeout;
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(stream, service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.shutdown.cancelled() => None,
        };
        let ended = if let Some(ended) = ended {
            ended
        } else {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = self.cut_off.cancelled() => Ok(()),
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

impl Household {
    fn of(listener: &UnixListener) -> Self {
        let file = listener
            .local_addr()
            .ok()
            .and_then(|address| address.as_pathname().map(std::fs::metadata))
            .and_then(Result::ok);
        match file {
            Some(file) => Self {
                owner: file.uid(),
                group: file.gid(),
                closed: file.mode() & 0o002 == 0,
            },
            // A socket without a file has no group; it is for root alone.
            None => Self {
                owner: 0,
                group: 0,
                closed: false,
            },
        }
    }

    fn peer(self, stream: &UnixStream) -> Peer {
        match stream.peer_cred() {
            Ok(credentials) => {
                let uid = credentials.uid();
                let is_member = self.closed || credentials.gid() == self.group;
                let trusted = uid == 0 || uid == self.owner || is_member;
                Peer::Process { uid, trusted }
            }
            Err(_) => Peer::Process {
                uid: u32::MAX,
                trusted: false,
            },
        }
    }
}

fn overloaded(app: &App, request: &Request<Incoming>) -> Response {
    let id = app.request_ids.of(request.headers());
    let mut response = refuse(app, &id, &Error::Overloaded).map(Body::new);
    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, id.header());
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

//! Serves the API on sockets: connections, their limits, and their end.

mod compression;
mod connection;
mod cors;
mod head_timer;
pub(crate) mod middleware;
mod parse_errors;
mod request_metrics;

use std::future::{Future, ready};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::App;
use crate::http::auth::peer::Peer;
use crate::http::auth::peer_group::PeerGroup;
use crate::http::server::connection::Ends;
use crate::http::socket::Socket;
use crate::rate_limited::RateLimited;

/// Connections above the limit that are answered 503; further ones wait to be accepted.
const TURNED_AWAY: usize = 64;

/// How long to pause when a connection cannot be accepted, for instance for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the API is served; bound, and the Unix socket's file with its final owner and mode.
#[derive(Debug, Default)]
pub struct Listeners {
    /// On TCP.
    pub tcp: Vec<TcpListener>,
    /// On a Unix socket, where the peer's user decides about its rights.
    pub unix: Option<UnixListener>,
}

/// Serves until `shutdown`, then finishes the requests under way; after `grace` it cuts off the rest. Returns whether all
/// were answered.
pub async fn serve(
    listeners: Listeners,
    app: Arc<App>,
    shutdown: CancellationToken,
    grace: Duration,
) -> bool {
    let server = Server {
        room: Room::default(),
        hall: Arc::new(Semaphore::new(TURNED_AWAY)),
        tasks: TaskTracker::new(),
        ends: Ends {
            shutdown,
            cut_off: CancellationToken::new(),
        },
        app,
    };
    for listener in listeners.tcp {
        server.tasks.spawn(server.clone().accept_tcp(listener));
    }
    if let Some(listener) = listeners.unix {
        server.tasks.spawn(server.clone().accept_unix(listener));
    }
    server.ends.shutdown.cancelled().await;
    server.tasks.close();
    server.app.flushes.close();
    let drained = tokio::time::timeout(grace, async {
        server.tasks.wait().await;
        server.app.flushes.wait().await;
    });
    let is_drained = drained.await.is_ok();
    server.ends.cut_off.cancel();
    server.tasks.wait().await;
    is_drained
}

#[derive(Clone)]
struct Server {
    app: Arc<App>,
    room: Room,
    /// Room for connections that are turned away.
    hall: Arc<Semaphore>,
    tasks: TaskTracker,
    ends: Ends,
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

impl Server {
    async fn accept_tcp(self, listener: TcpListener) {
        let mut trouble = RateLimited::default();
        loop {
            let accepted = tokio::select! {
                () = self.ends.shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    // Answers are written whole; waiting for more would only delay them.
                    let _ = stream.set_nodelay(true);
                    let peer = Peer::Host(address.ip().to_canonical());
                    self.recovered(&mut trouble);
                    self.take_in(stream, ready(peer)).await;
                }
                Err(error) => self.pause(&mut trouble, &error).await,
            }
        }
    }

    async fn accept_unix(self, listener: UnixListener) {
        let peer_group = PeerGroup::of(&listener);
        let mut trouble = RateLimited::default();
        loop {
            let accepted = tokio::select! {
                () = self.ends.shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let peer = peer_group.clone().peer(stream.peer_cred());
                    self.recovered(&mut trouble);
                    self.take_in(stream, peer).await;
                }
                Err(error) => self.pause(&mut trouble, &error).await,
            }
        }
    }

    /// Pauses after a connection could not be accepted.
    async fn pause(&self, trouble: &mut RateLimited, error: &io::Error) {
        if let Some(say) = trouble.failed(self.app.clock.monotonic()) {
            let (count, lasting) = (say.count(), say.seconds());
            tracing::warn!(count, lasting, %error, "cannot accept connections");
        }
        tokio::time::sleep(PAUSE).await;
    }

    /// Logs that connections are accepted again, if they were not.
    fn recovered(&self, trouble: &mut RateLimited) {
        if let Some(recovered) = trouble.succeeded(self.app.clock.monotonic()) {
            let (failures, lasted) = (recovered.failures, recovered.lasted.as_secs());
            tracing::info!(failures, lasted, "accepting connections again");
        }
    }

    /// Serves a connection, or turns it away where there are too many. Its peer may have to be looked up.
    async fn take_in<P>(&self, stream: impl Into<Socket>, peer: P)
    where
        P: Future<Output = Peer> + Send + 'static,
    {
        let stream = stream.into();
        let most = self.app.limits.borrow().connections;
        if let Some(seat) = self.room.enter(most) {
            self.tasks.spawn(self.clone().attend(stream, peer, seat));
            return;
        }
        self.app.metrics.http.turned_away();
        let room = tokio::select! {
            () = self.ends.shutdown.cancelled() => return,
            room = Arc::clone(&self.hall).acquire_owned() => room,
        };
        if let Ok(room) = room {
            self.tasks.spawn(self.clone().turn_away(stream, room));
        }
    }

    async fn attend<P>(self, stream: Socket, peer: P, _seat: Seat)
    where
        P: Future<Output = Peer> + Send + 'static,
    {
        let _open = self.app.metrics.http.opened();
        let peer = peer.await;
        let socket = stream.clone();
        connection::run(&self.app, stream, &self.ends, |mut request| {
            request.extensions_mut().insert(socket.clone());
            middleware::answer(&self.app, peer, request)
        })
        .await;
    }

    async fn turn_away(self, stream: Socket, _room: OwnedSemaphorePermit) {
        connection::run(&self.app, stream, &self.ends, |request| {
            ready(middleware::turn_away(&self.app, request))
        })
        .await;
    }
}

//! JSON-RPC over HTTP: a small pool of kept-alive connections.
//!
//! No task runs for an idle connection: the call that uses it drives it. Kamailio may close one at any time, even
//! after each reply; the next call notices and opens a new one.

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{Fault, REPLY_MAX, message};

/// Kamailio reads a request into `tcp_rd_buf_size` bytes, 4096 by default, and silently closes beyond that.
const REQUEST_MAX: usize = 3_500;

/// What a request has before its body, without host and path.
const HEAD: usize =
    "POST  HTTP/1.1\r\nhost: \r\ncontent-type: application/json\r\ncontent-length: 0000\r\n\r\n"
        .len();

const DEFAULT_PORT: u16 = 80;

/// Connections to one endpoint.
#[derive(Debug)]
pub(super) struct Pool {
    uri: Uri,
    host: String,
    port: u16,
    /// Whether connections are kept for later calls.
    keeps: bool,
    idle: Mutex<Vec<Link>>,
}

/// What moves a connection's bytes.
type Wire = Connection<TokioIo<Watched>, Full<Bytes>>;

/// One connection.
#[derive(Debug)]
struct Link {
    sender: SendRequest<Full<Bytes>>,
    connection: Wire,
    heard: Arc<AtomicBool>,
}

/// A stream that notes whether anything arrived.
#[derive(Debug)]
struct Watched {
    stream: TcpStream,
    heard: Arc<AtomicBool>,
}

/// How an exchange over one connection failed.
enum Failure {
    /// It ended before a byte of a reply: over a kept connection, worth another try over a fresh one.
    Unheard(io::Error),
    /// Anything else.
    Fault(Fault),
}

impl Pool {
    pub(super) fn new(uri: Uri) -> Self {
        let host = uri.host().unwrap_or_default();
        Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(DEFAULT_PORT),
            uri,
            keeps: true,
            idle: Mutex::default(),
        }
    }

    /// Opens a connection for each call from now on.
    pub(super) fn keep_none(&mut self) {
        self.keeps = false;
    }

    /// Sends a request and returns the reply's body.
    ///
    /// A request is sent a second time only where a kept connection ended without a byte of a reply. Kamailio may
    /// have run it even so, which is why all methods that are called must bear to be repeated.
    pub(super) async fn exchange(&self, body: Vec<u8>) -> Result<Bytes, Fault> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.uri.authority().map_or("", |name| name.as_str());
        if HEAD + path.len() + authority.len() + body.len() > REQUEST_MAX {
            return Err(Fault::Unsendable(
                "the request is longer than Kamailio accepts",
            ));
        }
        let body = Bytes::from(body);
        let request = || {
            Request::post(path)
                .header(header::HOST, authority)
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::new(body.clone()))
                .map_err(|_| Fault::Unsendable("the endpoint does not make a valid request"))
        };
        while let Some(mut link) = self.take() {
            if !link.is_ready().await {
                continue;
            }
            match link.exchange(request()?).await {
                Ok((reply, link)) => return Ok(self.keep(link, reply)),
                Err(Failure::Fault(fault)) => return Err(fault),
                Err(Failure::Unheard(_)) => break,
            }
        }
        let link = self.connect().await?;
        match link.exchange(request()?).await {
            Ok((reply, link)) => Ok(self.keep(link, reply)),
            Err(Failure::Fault(fault)) => Err(fault),
            Err(Failure::Unheard(source)) => Err(Fault::Unreachable { source }),
        }
    }

    async fn connect(&self) -> Result<Link, Fault> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|source| Fault::Unreachable { source })?;
        let heard = Arc::new(AtomicBool::new(false));
        let watched = Watched {
            stream,
            heard: Arc::clone(&heard),
        };
        let (sender, connection) =
            http1::handshake(TokioIo::new(watched))
                .await
                .map_err(|error| Fault::Unreachable {
                    source: io::Error::other(error),
                })?;
        Ok(Link {
            sender,
            connection,
            heard,
        })
    }

    fn take(&self) -> Option<Link> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }

    fn keep(&self, link: Option<Link>, reply: Bytes) -> Bytes {
        if self.keeps {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(link);
        }
        reply
    }
}

impl Link {
    /// Whether the connection can take another request, as far as can be seen.
    async fn is_ready(&mut self) -> bool {
        tokio::select! {
            biased;
            _ = &mut self.connection => false,
            ready = self.sender.ready() => ready.is_ok(),
        }
    }

    /// One request and the body of its reply, with the connection, if it is still open.
    async fn exchange(
        self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Bytes, Option<Self>), Failure> {
        let Self {
            mut sender,
            connection,
            heard,
        } = self;
        heard.store(false, Ordering::Relaxed);
        let mut connection = Some(connection);
        let result = {
            let mut talk = pin!(talk(&mut sender, request));
            let early = tokio::select! {
                biased;
                result = &mut talk => Some(result),
                () = end(&mut connection) => None,
            };
            match early {
                Some(result) => result,
                // What the connection had read before it ended is still on its way.
                None => talk.await,
            }
        };
        match result {
            Ok(reply) => {
                let link = connection.map(|connection| Self {
                    sender,
                    connection,
                    heard,
                });
                Ok((reply, link))
            }
            Err(Fault::Malformed(reason)) if !heard.load(Ordering::Relaxed) => Err(
                Failure::Unheard(io::Error::new(io::ErrorKind::UnexpectedEof, reason)),
            ),
            Err(fault) => Err(Failure::Fault(fault)),
        }
    }
}

/// Drives a connection to its end and drops it: a request that it had not begun to send learns only so that it ended.
async fn end(connection: &mut Option<Wire>) {
    if let Some(open) = connection {
        // The request reports how it ended.
        let _ = open.await;
    }
    *connection = None;
}

async fn talk(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, Fault> {
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| cut(&error))?;
    let status = response.status();
    let body = response.into_body();
    if body.size_hint().lower() > REPLY_MAX as u64 {
        return Err(Fault::TooLarge);
    }
    match Limited::new(body, REPLY_MAX).collect().await {
        Ok(body) => {
            let body = body.to_bytes();
            // What Kamailio refuses in JSON-RPC has a status of its own, too.
            let is_reply = || message::decode(&body).is_ok_and(|reply| reply.id.is_some());
            if status.is_success() || is_reply() {
                Ok(body)
            } else {
                Err(Fault::Http { status })
            }
        }
        Err(error) if error.is::<LengthLimitError>() => Err(Fault::TooLarge),
        Err(error) => Err(cut(&*error)),
    }
}

fn cut(error: &(dyn std::error::Error + 'static)) -> Fault {
    Fault::Malformed(format!(
        "the connection was closed within the reply: {error}"
    ))
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.heard.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    fn request() -> Request<Full<Bytes>> {
        Request::new(Full::default())
    }

    #[tokio::test]
    async fn an_end_between_two_looks_leaves_no_request_waiting() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let pool = Pool::new(format!("http://{address}/RPC").parse().unwrap());
        let link = pool.connect().await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let answer = async {
            // What is left unread would reset the connection where it ends.
            assert!(peer.read(&mut [0; 4096]).await.unwrap() > 0);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            peer.write_all(answer).await.unwrap();
        };
        let ((), answered) = tokio::join!(answer, link.exchange(request()));
        let (_, link) = answered.unwrap_or_else(|_| panic!("a reply"));
        let mut link = link.unwrap();
        assert!(link.is_ready().await);
        drop(peer);
        // The runtime learns of the end with other events; the connection has not been polled again.
        let _other = pool.connect().await.unwrap();
        listener.accept().await.unwrap();
        let exchange = link.exchange(request());
        let result = timeout(Duration::from_secs(10), exchange).await;
        assert!(
            matches!(result, Ok(Err(Failure::Unheard(_)))),
            "an end without a byte"
        );
    }
}

//! Asks a running daemon: HTTP over its Unix socket or over TCP.
//!
//! One connection per request, which is simple and fast enough: a person waits for the answer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The timeout of connecting.
const CONNECT: Duration = Duration::from_secs(5);

/// The timeout of the head of an answer.
const ANSWER: Duration = Duration::from_mins(2);

/// The same for a flush: one of a large account waits for thousands of quiet moments.
const FLUSH: Duration = Duration::from_mins(30);

/// How long the daemon may pause within an answer.
const PAUSE: Duration = Duration::from_secs(30);

const DEFAULT_PORT: u16 = 80;

/// Where the daemon listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// On its Unix socket.
    Socket(PathBuf),
    /// At `http://host:port`.
    Url(Uri),
}

/// Why an address is refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "not an address; write http://HOST:PORT, without a user name (https is not supported: use the socket, or a tunnel)"
)]
pub struct BadAddress;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum Error {
    /// Nobody listens, or we may not connect.
    #[error("cannot connect to {to}")]
    Connect {
        /// To where.
        to: String,
        /// Why.
        source: io::Error,
    },
    /// The daemon does not answer in time.
    #[error("{0} does not answer in time")]
    Slow(String),
    /// The connection ended within the answer.
    #[error("the connection was closed before the answer was complete")]
    Cut(#[source] hyper::Error),
    /// The request cannot be written as HTTP.
    #[error("the token or the path cannot be sent")]
    Unsendable(#[source] http::Error),
}

/// The daemon's address, and the token.
#[derive(Clone, Debug)]
pub struct Client {
    address: Address,
    token: Option<String>,
}

/// An answer whose body is still on its way.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    body: Incoming,
    from: String,
    /// Drives the connection as long as the answer is read.
    _connection: JoinSet<()>,
}

impl Address {
    /// Reads `http://HOST:PORT`.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let uri: Uri = text.parse().map_err(|_| BadAddress)?;
        let host = uri.authority().filter(|it| !it.as_str().contains('@'));
        let fits = uri.scheme_str() == Some("http") && host.is_some();
        if fits && matches!(uri.path(), "" | "/") && uri.query().is_none() {
            Ok(Self::Url(uri))
        } else {
            Err(BadAddress)
        }
    }

    /// The socket, where it is one.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        match self {
            Self::Socket(path) => Some(path),
            Self::Url(_) => None,
        }
    }

    /// The address as people write it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Socket(path) => path.display().to_string(),
            Self::Url(uri) => uri.to_string().trim_end_matches('/').to_owned(),
        }
    }
}

impl Client {
    /// Asks the daemon at `address`, with a token where the address wants one.
    #[must_use]
    pub fn new(address: Address, token: Option<String>) -> Self {
        Self { address, token }
    }

    /// Where the daemon listens.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether a token is sent.
    #[must_use]
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// If there is no answer at all.
    pub async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(header::HeaderName, &str)],
    ) -> Result<Answer, Error> {
        self.send_with(method, target, headers, Bytes::new()).await
    }

    /// Sends a POST with a JSON body, and waits for the head of the answer.
    ///
    /// # Errors
    /// If there is no answer at all.
    pub async fn post(&self, target: &str, json: String) -> Result<Answer, Error> {
        let headers = [(header::CONTENT_TYPE, "application/json")];
        self.send_with(Method::POST, target, &headers, json.into())
            .await
    }

    async fn send_with(
        &self,
        method: Method,
        target: &str,
        headers: &[(header::HeaderName, &str)],
        body: Bytes,
    ) -> Result<Answer, Error> {
        let to = self.address.shown();
        let unconnected = |source| Error::Connect {
            to: to.clone(),
            source,
        };
        let slow = |_| unconnected(io::Error::from(io::ErrorKind::TimedOut));
        match &self.address {
            Address::Socket(path) => {
                let stream = timeout(CONNECT, UnixStream::connect(path)).await;
                let stream = stream.map_err(slow)?.map_err(unconnected)?;
                self.exchange(stream, method, target, headers, body).await
            }
            Address::Url(uri) => {
                let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
                let port = uri.port_u16().unwrap_or(DEFAULT_PORT);
                let stream = timeout(CONNECT, TcpStream::connect((host, port))).await;
                let stream = stream.map_err(slow)?.map_err(unconnected)?;
                self.exchange(stream, method, target, headers, body).await
            }
        }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        method: Method,
        target: &str,
        headers: &[(header::HeaderName, &str)],
        body: Bytes,
    ) -> Result<Answer, Error> {
        let host = match &self.address {
            Address::Socket(_) => "localhost",
            Address::Url(uri) => uri.authority().map_or("localhost", |name| name.as_str()),
        };
        let patience = if method == Method::DELETE {
            FLUSH
        } else {
            ANSWER
        };
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, host);
        if let Some(token) = &self.token {
            request = request.header("x-auth-token", token);
        }
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(Full::new(body));
        let request = request.map_err(Error::Unsendable)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(Error::Cut)?;
        let mut tasks = JoinSet::new();
        // What ends the connection ends the request as well, which reports it.
        tasks.spawn(async move { drop(connection.await) });
        let response = timeout(patience, sender.send_request(request)).await;
        let response = response
            .map_err(|_| Error::Slow(self.address.shown()))?
            .map_err(Error::Cut)?;
        let (parts, body) = response.into_parts();
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body,
            from: self.address.shown(),
            _connection: tasks,
        })
    }
}

impl Answer {
    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// Where the connection ends or falls silent before the body ends.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let frame = timeout(PAUSE, self.body.frame()).await;
            match frame.map_err(|_| Error::Slow(self.from.clone()))? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.map_err(Error::Cut)?.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// Where the connection ends or falls silent before the body ends.
    pub async fn body(mut self) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

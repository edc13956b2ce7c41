//! Sends messages to a receiver over HTTP or HTTPS.
//!
//! Follows no redirect, asks no proxy, and connects to public addresses alone unless others are allowed. One connection
//! is kept open.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jiff::fmt::rfc2822;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::time::timeout;

use super::Hook;
use super::address::is_private_host;
use super::body::Message;
use super::resolver::{Lookup, NotPublic, Resolver, SystemLookup};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long the head of an answer may take from the start.
const ANSWER: Duration = Duration::from_secs(20);

/// How long the body of an answer may take: nobody reads it, it only keeps the connection.
const BODY: Duration = Duration::from_secs(2);

/// How much of the body of an answer is read before the connection is given up.
const BODY_BYTES: usize = 64 << 10;

/// What receivers see in User-Agent.
const USER_AGENT: &str = concat!("usrlocd/", env!("CARGO_PKG_VERSION"));

/// What became of a message.
#[derive(Debug)]
pub enum Outcome {
    /// The receiver has it: it answered 2xx.
    Delivered(StatusCode),
    /// The receiver wants no more: it answered 410.
    Gone,
    /// The receiver answered something else.
    Refused {
        /// What it answered.
        status: StatusCode,
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// There was no answer.
    Failed(Failure),
}

/// Why there was no answer.
#[derive(Debug, Error)]
pub enum Failure {
    /// The address is not public.
    #[error("the receiver's address is not public; set allow_private = true if that is intended")]
    NotPublic,
    /// There was no answer in time.
    #[error("no answer within {} s", ANSWER.as_secs())]
    Timeout,
    /// Nobody could be connected to.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection ended before the answer.
    #[error("the connection was closed before the answer: {0}")]
    Cut(String),
}

/// What sends messages.
pub(super) trait Post: Send + Sync + 'static {
    /// Sends the message, signed as of `now` (Unix seconds).
    fn post(&self, message: &Message, now: i64) -> impl Future<Output = Outcome> + Send;
}

/// A client of one receiver.
pub(super) struct Client {
    hook: Hook,
    http: legacy::Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    answer: Duration,
}

impl Outcome {
    /// Its name in metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Delivered(_) => "delivered",
            Self::Gone => "gone",
            Self::Refused { .. } => "refused",
            Self::Failed(Failure::NotPublic) => "not_public",
            Self::Failed(Failure::Timeout) => "timeout",
            Self::Failed(Failure::Connect(_) | Failure::Cut(_)) => "unreachable",
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone => f.write_str("the receiver answered 410 Gone"),
            Self::Refused { status, .. } if status.is_redirection() => {
                write!(
                    f,
                    "the receiver answered {status}; redirects are not followed"
                )
            }
            Self::Delivered(status) | Self::Refused { status, .. } => {
                write!(f, "the receiver answered {status}")
            }
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

/// TLS with the certificate authorities that the system trusts; with none of them where it has none, and then every
/// certificate is refused.
pub(super) fn system_tls() -> ClientConfig {
    let builder = || {
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the ciphers of the default versions")
    };
    match builder().with_native_roots() {
        Ok(builder) => builder.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(
                %error,
                "no certificate authorities found; https webhooks fail (install ca-certificates)"
            );
            builder()
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth()
        }
    }
}

impl Client {
    /// A client of the hook's receiver.
    pub(super) fn new(hook: Hook, tls: ClientConfig) -> Self {
        Self::with(hook, tls, Arc::new(SystemLookup), ANSWER)
    }

    /// A client that asks `lookup` for addresses, and waits no longer than `answer`.
    pub(super) fn with(
        hook: Hook,
        tls: ClientConfig,
        lookup: Arc<dyn Lookup>,
        answer: Duration,
    ) -> Self {
        let resolver = Resolver::new(lookup, hook.config.allow_private);
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT.min(answer)));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(1)
            .pool_timer(TokioTimer::new())
            .build(https);
        Self { hook, http, answer }
    }

    fn request(&self, message: &Message, now: i64) -> Request<Full<Bytes>> {
        let signature = self.hook.secret.sign(&message.id, now, &message.body);
        Request::post(self.hook.config.url.clone())
            .header(header::CONTENT_TYPE, message.content_type)
            .header(header::USER_AGENT, USER_AGENT)
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", now)
            .header("webhook-signature", signature)
            .body(Full::new(message.body.clone()))
            .expect("ids and signatures are plain ASCII")
    }
}

impl Post for Client {
    async fn post(&self, message: &Message, now: i64) -> Outcome {
        let config = &self.hook.config;
        let host = config.url.host().unwrap_or_default();
        // The resolver is not asked about an address.
        if !config.allow_private && is_private_host(host) {
            return Outcome::Failed(Failure::NotPublic);
        }
        let answer = self.http.request(self.request(message, now));
        let answer = match timeout(self.answer, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Outcome::Failed(Failure::of(&error)),
            Err(_) => return Outcome::Failed(Failure::Timeout),
        };
        let (head, body) = answer.into_parts();
        // However it ends, the head has said what counts.
        let _ = timeout(BODY, drain(body)).await;
        match head.status {
            status if status.is_success() => Outcome::Delivered(status),
            StatusCode::GONE => Outcome::Gone,
            status => Outcome::Refused {
                status,
                retry_after: retry_after(&head.headers, now),
            },
        }
    }
}

impl Failure {
    fn of(error: &legacy::Error) -> Self {
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(this) = cause {
            let io = this
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref);
            if io.is_some_and(<dyn std::error::Error + Send + Sync>::is::<NotPublic>) {
                return Self::NotPublic;
            }
            causes.push(this.to_string());
            cause = this.source();
        }
        // The last one is the cause; those before say where.
        let reason = causes.pop().unwrap_or_else(|| error.to_string());
        if error.is_connect() {
            Self::Connect(reason)
        } else {
            Self::Cut(reason)
        }
    }
}

/// Reads the body to its end if that is near, so that the connection can be used again.
async fn drain(mut body: Incoming) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > BODY_BYTES {
            return;
        }
    }
}

/// How long the receiver asks to be left alone from `now` (Unix seconds): seconds, or a date (RFC 9110).
fn retry_after(headers: &HeaderMap, now: i64) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::parse(text).ok()?.timestamp().as_second();
    Some(Duration::from_secs(
        u64::try_from(date.saturating_sub(now)).unwrap_or_default(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, 1_445_412_420).map(|it| it.as_secs())
        };
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked("Wed, 21 Oct 2015 07:28:00 GMT"), Some(60));
        assert_eq!(asked("Wed, 21 Oct 2015 07:26:00 GMT"), Some(0));
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("-1"), None);
        assert_eq!(retry_after(&HeaderMap::new(), 0), None);
    }
}

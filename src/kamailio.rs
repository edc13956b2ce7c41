//! The JSON-RPC client: asks Kamailio about its memory, and removes bindings from it.
//!
//! Kamailio's `jsonrpcs` leaves much to its client: it may not answer at all, close a kept connection, cut a reply short,
//! or answer `"result":{}` to what it did not do. So each call has a single timeout, a reply counts only with the
//! request's id, and faults are distinguished. All methods that are called are safe to repeat.

mod contact;
mod datagram;
mod endpoint;
mod fault;
mod gate;
mod http;
mod message;
#[cfg(test)]
mod tests;
mod uac;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use self::message::Reply;
use crate::metrics::Metrics;
use crate::registration::Text;

pub use self::contact::{Contact, Expires, Lookup};
pub use self::endpoint::{Endpoint, Invalid};
pub use self::fault::{Fault, Lasting};
pub use self::gate::{Alone, Gate, Pass};
pub use self::message::text;
pub use self::uac::{Heard, Uac};

/// The longest reply that is read.
const REPLY_MAX: usize = 8 * 1024 * 1024;

/// Kamailio returns ids beyond 2^53 altered.
const ID_BITS: u32 = 52;

/// How to reach Kamailio.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address that it listens on.
    pub endpoint: Endpoint,
    /// The time for one call, from the first byte of its request to the last of its reply. Waiting for a free
    /// connection counts only while Kamailio answers no call.
    pub timeout: Duration,
    /// How many calls may be in progress at once; at least one.
    pub connections: usize,
}

/// A client of one Kamailio.
#[derive(Debug)]
pub struct Kamailio {
    transport: Transport,
    timeout: Duration,
    free: Semaphore,
    /// How many replies there were.
    replies: AtomicU64,
    gate: Gate,
    metrics: Option<Arc<Metrics>>,
}

#[derive(Debug)]
enum Transport {
    Http(http::Pool),
    Unixgram(std::path::PathBuf),
}

/// A parameter of a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Param {
    /// A text, sent byte for byte; it may contain anything but NUL.
    Text(Text),
    /// A number.
    Integer(i64),
}

/// Kamailio's uptime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uptime {
    /// For how long, in whole seconds of the system's clock.
    pub lasted: Duration,
    /// When it was started, in Kamailio's own words: this does not change while it runs, whatever clocks do.
    pub since: String,
}

/// What became of a contact that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// Kamailio removed it.
    Done,
    /// It has no such AoR.
    NoAor,
    /// The AoR has no such contact.
    NoContact,
}

impl Kamailio {
    /// A client; nothing is sent yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            transport: match options.endpoint {
                Endpoint::Http(uri) => Transport::Http(http::Pool::new(uri)),
                Endpoint::Unixgram(path) => Transport::Unixgram(path),
            },
            timeout: options.timeout,
            free: Semaphore::new(options.connections.max(1)),
            replies: AtomicU64::new(0),
            gate: Gate::default(),
            metrics: None,
        }
    }

    /// The same client, whose calls wait where one of another client with this gate holds Kamailio's only worker.
    #[must_use]
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.gate = gate.clone();
        self
    }

    /// The same client, which opens a connection for each call and so never sends a request twice.
    #[must_use]
    pub fn without_reuse(mut self) -> Self {
        if let Transport::Http(pool) = &mut self.transport {
            pool.keep_none();
        }
        self
    }

    /// The same client, whose calls are counted.
    #[must_use]
    pub fn counted(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Calls `method` and returns its result, whose strings [`text`] turns into bytes. The method must bear to be
    /// repeated.
    ///
    /// # Errors
    /// Each [`Fault`].
    pub async fn call(&self, method: &str, params: &[Param]) -> Result<Value, Fault> {
        let _pass = self.pass().await;
        self.counted_exchange(method, params).await
    }

    async fn counted_exchange(&self, method: &str, params: &[Param]) -> Result<Value, Fault> {
        let Some(metrics) = &self.metrics else {
            return self.exchange(method, params).await;
        };
        let began = metrics.now();
        let result = self.exchange(method, params).await;
        let outcome = result.as_ref().map_or_else(Fault::word, |_| "ok");
        let took = metrics.since(began);
        metrics.kamailio.called(method, outcome, took);
        result
    }

    async fn exchange(&self, method: &str, params: &[Param]) -> Result<Value, Fault> {
        let id = random_id()?;
        let request = message::encode(method, params, id)?;
        let exchange = async {
            match &self.transport {
                Transport::Http(pool) => message::decode(&pool.exchange(request).await?),
                Transport::Unixgram(path) => datagram::exchange(path, &request, id).await,
            }
        };
        let _one_of_few = self.connection().await?;
        let result = timeout(self.timeout, exchange).await;
        let reply = result.map_err(|_| Fault::Timeout)??;
        self.replies.fetch_add(1, Ordering::Relaxed);
        match reply {
            Reply {
                id: Some(its),
                outcome,
            } if its == id => outcome,
            _ => Err(Fault::Malformed("the reply is for another request".into())),
        }
    }

    /// Waits for a free connection for as long as Kamailio answers others: it is busy then, and the turn comes.
    async fn connection(&self) -> Result<SemaphorePermit<'_>, Fault> {
        let mut free = pin!(self.free.acquire());
        loop {
            let replies = self.replies.load(Ordering::Relaxed);
            match timeout(self.timeout, &mut free).await {
                Ok(permit) => return Ok(permit.expect("nobody closes it")),
                Err(_) if self.replies.load(Ordering::Relaxed) == replies => {
                    return Err(Fault::Timeout);
                }
                Err(_) => {}
            }
        }
    }

    /// `ul.rm`: removes all contacts of an AoR. Kamailio says the same whether or not it had any.
    ///
    /// # Errors
    /// Each [`Fault`].
    pub async fn remove(&self, table: &str, aor: &Text) -> Result<(), Fault> {
        let params = [table.into(), aor.into()];
        self.call("ul.rm", &params).await.map(|_| ())
    }

    /// `ul.rm_contact`: removes one contact of an AoR, compared byte for byte.
    ///
    /// # Errors
    /// Each [`Fault`], but for an AoR or contact that is not there.
    pub async fn remove_contact(
        &self,
        table: &str,
        aor: &Text,
        contact: &Text,
    ) -> Result<Removed, Fault> {
        let params = [table.into(), aor.into(), contact.into()];
        match self.call("ul.rm_contact", &params).await {
            Ok(_) => Ok(Removed::Done),
            Err(Fault::Rpc { message, .. }) if message == "AOR not found" => Ok(Removed::NoAor),
            Err(Fault::Rpc { message, .. }) if message == "Contact not found" => {
                Ok(Removed::NoContact)
            }
            Err(fault) => Err(fault),
        }
    }

    /// `ul.lookup`: the contacts of an AoR in Kamailio's memory.
    ///
    /// # Errors
    /// Each [`Fault`], but for an AoR that is not there or has no contact.
    pub async fn lookup(&self, table: &str, aor: &Text) -> Result<Lookup, Fault> {
        let params = [table.into(), aor.into()];
        match self.call("ul.lookup", &params).await {
            Ok(result) => match contact::aor(&result).filter(|its| its != aor) {
                Some(read_as) => Ok(Lookup::Misread { read_as }),
                None => contact::contacts(&result).map(Lookup::Found),
            },
            Err(Fault::Rpc { message, .. }) if message == "AOR not found in location table" => {
                Ok(Lookup::NotFound)
            }
            Err(Fault::Rpc { message, .. }) if message == "AOR has no contacts" => {
                Ok(Lookup::NoContacts)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Whether it is asked in datagrams.
    #[must_use]
    pub fn is_datagram(&self) -> bool {
        matches!(self.transport, Transport::Unixgram(_))
    }

    /// About how many bytes of a reply come through for certain: `jsonrpcs` drops a datagram of more, and over HTTP
    /// Kamailio's private memory sets a limit, 8 MB by default, in which it writes a reply more than once.
    #[must_use]
    pub fn longest_reply(&self) -> usize {
        match self.transport {
            Transport::Http(_) => 1024 * 1024,
            Transport::Unixgram(_) => 128 * 1024,
        }
    }

    /// `core.uptime`: since when Kamailio has been up.
    ///
    /// # Errors
    /// Each [`Fault`].
    pub async fn uptime(&self) -> Result<Uptime, Fault> {
        let result = self.call("core.uptime", &[]).await?;
        let (lasted, since) = (result["uptime"].as_u64(), result["up_since"].as_str());
        let uptime = lasted.zip(since).map(|(lasted, since)| Uptime {
            lasted: Duration::from_secs(lasted),
            since: since.to_owned(),
        });
        uptime.ok_or_else(|| Fault::Malformed("core.uptime answers without an uptime".into()))
    }

    /// `core.version`: for instance `kamailio 5.6.3 (x86_64/linux)`.
    ///
    /// # Errors
    /// Each [`Fault`].
    pub async fn version(&self) -> Result<String, Fault> {
        let result = self.call("core.version", &[]).await?;
        let version = result.as_str().map(|version| version.trim().to_owned());
        version.ok_or_else(|| Fault::Malformed("core.version answers without a version".into()))
    }
}

impl From<&str> for Param {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<&Text> for Param {
    fn from(text: &Text) -> Self {
        Self::Text(text.clone())
    }
}

/// An id that nobody else can guess.
fn random_id() -> Result<u64, Fault> {
    let random = getrandom::u64().map_err(|error| Fault::Unreachable {
        source: io::Error::other(error.to_string()),
    })?;
    Ok(random >> (u64::BITS - ID_BITS))
}

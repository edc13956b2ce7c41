//! Configuration: the sections with their defaults, from file, environment and flags.
//!
//! [`Config::load`] lays the flags over the environment (`USRLOCD_SECTION__KEY`), that over the file, and that over
//! the defaults, and reports every mistake of all of them at once. It opens no other file than the configuration.

mod check;
mod defaults;
mod diff;
pub mod discovery;
mod duration;
mod flapping;
mod fleet;
mod history;
pub(crate) mod kamailio_cfg;
mod layers;
mod notify;
mod sections;
mod server;
mod show;
mod values;
mod webhook;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::notify::{CHECK_SYNC, Notify};
use crate::document::without_secrets;
pub use crate::document::{Problem, Problems};
pub use check::is_same_file;
pub use defaults::DEFAULT_FILE;
pub use diff::{Applies, Change};
pub(crate) use duration::{parse_duration, show_duration};
pub use flapping::{Burst, Flap};
pub use fleet::Fleet;
pub use history::History;
pub use layers::{Override, environment};
pub use server::Server;
pub use values::is_file_name;
pub use webhook::{EVENTS as WEBHOOK_EVENTS, Webhook, WebhookFormat};

pub use crate::registration::item::Wire;

/// The effective configuration.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Config {
    /// `[kamailio]`
    pub kamailio: Kamailio,
    /// `[store]`
    pub store: Store,
    /// `[history]`
    pub history: History,
    /// `[http]`
    pub http: Http,
    /// `[auth]`
    pub auth: Auth,
    /// `[directory]`
    pub directory: Directory,
    /// `[flush]`
    pub flush: Flush,
    /// `[notify]`
    pub notify: Notify,
    /// `[fleet]`
    pub fleet: Fleet,
    /// `[limits]`
    pub limits: Limits,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[log]`
    pub log: Log,
    /// `[[webhook]]`
    pub webhooks: Vec<Webhook>,
}

/// Where Kamailio keeps its registrations, and how it is spoken to.
#[derive(Clone, PartialEq)]
pub struct Kamailio {
    /// The file that Kamailio's `db_sqlite` writes; absolute, and of no meaning where there is a `server`.
    pub database: PathBuf,
    /// The server where Kamailio keeps its tables.
    pub server: Option<Server>,
    /// The file that holds the URL of that server instead; absolute.
    pub database_file: Option<PathBuf>,
    /// Whether it is configured; otherwise it is [discovered](discovery).
    pub database_given: bool,
    /// The server that Kamailio's own configuration names, where it is not configured here.
    pub found_server: Option<discovery::FoundServer>,
    /// The usrloc tables in it, at least one, each once; attributes are in `<table>_attrs`.
    pub tables: Vec<String>,
    /// `http://HOST[:PORT]/PATH` or `unixgram:/PATH`.
    pub jsonrpc: String,
    /// The same of each Kamailio that shares a server's tables, by its `server_id`, of which `jsonrpc` is the first; empty
    /// where there is one Kamailio.
    pub jsonrpc_by_id: BTreeMap<i64, String>,
    /// How long one call may take; more than zero.
    pub rpc_timeout: Duration,
    /// The realm of rows without a domain.
    pub default_realm: Option<String>,
    /// What to show instead of an address of one of Kamailio's sockets.
    pub advertise: BTreeMap<String, String>,
    /// The zone in which Kamailio writes times to a server's tables: `local` (this machine's) or a name of the IANA's.
    pub timezone: String,
    /// The `server_id`s whose rows of a server's tables count; all where there are none.
    pub server_ids: Vec<i64>,
    /// The share of one of the server's cores that reading may take; more than 0, at most 1.
    pub max_load: f64,
    /// `proxy_path` of each item, with `{ip}`, `{port}` and `{proto}` of the socket.
    pub proxy_path: Option<String>,
}

/// Our own database.
#[derive(Clone, PartialEq, Debug)]
pub struct Store {
    /// Its file; absolute, and never Kamailio's.
    pub path: PathBuf,
}

/// The API's server.
#[derive(Clone, PartialEq, Debug)]
pub struct Http {
    /// TCP addresses, each once; none for the Unix socket alone.
    pub listen: Vec<SocketAddr>,
    /// The Unix socket; absolute. Either this or an address in `listen` is there.
    pub socket: Option<PathBuf>,
    /// Further names that a `Host` header may have: lower case, without port and final dot, each once.
    pub hosts: Vec<String>,
    /// Where browsers reach the API, if a proxy with TLS stands in front: `http://` or `https://`, a host, and no more than a port and a path behind it.
    pub public_url: Option<String>,
    /// Whether there is a page for operators.
    pub ui: bool,
    /// How items are written.
    pub wire: Wire,
    /// The lag above which `/readyz` answers 503; more than zero.
    pub max_lag: Duration,
    /// Origins that browsers may call from: `*` or `https://HOST[:PORT]`; none switches CORS off.
    pub cors_origins: Vec<String>,
}

/// Whose tokens are good.
#[derive(Clone, PartialEq, Debug)]
pub struct Auth {
    /// Our own tokens (see [`tokens`](crate::tokens)); absolute. `None` for none.
    pub tokens_file: Option<PathBuf>,
    /// `[auth.jwt]`
    pub jwt: Jwt,
}

/// Kazoo's tokens.
#[derive(Clone, PartialEq, Debug)]
pub struct Jwt {
    /// Public keys; none refuses every JWT.
    pub keys: Vec<JwtKey>,
    /// The only `iss` that is accepted.
    pub issuer: String,
}

/// A public key that signs Kazoo's tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JwtKey {
    /// The `kid` of tokens that it verifies; unique.
    pub kid: String,
    /// The PEM file with the public key; absolute.
    pub pem_file: PathBuf,
}

/// Accounts and devices.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Directory {
    /// The JSON file; absolute.
    pub file: Option<PathBuf>,
}

/// How registrations are removed from Kamailio.
#[derive(Clone, PartialEq, Debug)]
pub struct Flush {
    /// Further calls for each address of record; those that are the same for several are made once.
    pub also: Vec<AlsoCall>,
    /// Removals at a time, over all flushes; at least 1, and more only where usrloc's `db_mode` is 2.
    pub concurrency: usize,
}

/// A JSON-RPC call beside each `ul.rm`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlsoCall {
    /// The method, for instance `htable.delete`.
    pub method: String,
    /// Its parameters in order.
    pub params: Vec<Param>,
}

/// A parameter of an [`AlsoCall`]; Kamailio tells strings and integers apart, so the type is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Param {
    /// Text, in which `{aor}`, `{username}` and `{realm}` are filled in.
    Text(String),
    /// An integer.
    Integer(i64),
}

/// What one caller may take.
#[derive(Clone, PartialEq, Debug)]
pub struct Limits {
    /// Requests, per token and client address.
    pub requests: Bucket,
    /// DELETE requests, per token and client address.
    pub deletes: Bucket,
    /// Refused tokens, per client address.
    pub failures: Bucket,
    /// Connections at a time; at least 1.
    pub connections: usize,
    /// Bytes of a request's body; at least 1.
    pub body_bytes: usize,
    /// How long a request's header may take; more than zero.
    pub header_timeout: Duration,
    /// Streams of changes at a time; at least 1.
    pub streams: usize,
    /// Of these, how many of one token or local user; at least 1.
    pub streams_per_token: usize,
}

/// A token bucket; one with `per_second` 0 is switched off.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bucket {
    /// How many at once; at least 1 unless it is switched off.
    pub burst: u32,
    /// How many come back each second; finite and not negative.
    pub per_second: f64,
}

/// What `/metrics` has besides its counters.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Metrics {
    /// How many accounts, the largest first, have their registrations counted by id; 0 for none.
    pub accounts: usize,
}

/// What is logged, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`, or several with targets: `info,usrlocd::http=debug`.
    pub level: String,
    /// How lines are written.
    pub format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// Journald under systemd, otherwise text.
    Auto,
    /// Text on standard error.
    Text,
    /// One JSON object a line on standard error.
    Json,
    /// Fields to systemd's journal.
    Journald,
}

/// A configuration, and where each of its keys was set.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The effective configuration.
    pub config: Config,
    /// The file that was asked for, or the default one.
    pub file: PathBuf,
    /// Whether that file is there.
    pub found: bool,
    places: BTreeMap<String, crate::document::Place>,
}

impl Kamailio {
    /// Whether Kamailio keeps its tables on a server, and not in a file.
    #[must_use]
    pub fn is_on_server(&self) -> bool {
        self.server.is_some() || self.database_file.is_some() || self.found_server.is_some()
    }

    /// Looks below `root`, which is `/` but for tests, for the server that Kamailio's own configuration names, where
    /// nothing is configured here.
    pub fn look_for_server(&mut self, root: &Path) {
        if !self.database_given {
            self.found_server = discovery::Discovery::look(root).server;
        }
    }

    /// Where each Kamailio listens for JSON-RPC, with its `server_id` where there are several.
    pub fn endpoints(&self) -> impl Iterator<Item = (Option<i64>, &str)> {
        let only = self.jsonrpc_by_id.is_empty().then_some(&*self.jsonrpc);
        let several = self.jsonrpc_by_id.iter();
        let several = several.map(|(id, address)| (Some(*id), &**address));
        only.map(|address| (None, address))
            .into_iter()
            .chain(several)
    }

    /// The zone in which Kamailio writes times.
    #[must_use]
    pub fn zone(&self) -> jiff::tz::TimeZone {
        match &*self.timezone {
            "local" => jiff::tz::TimeZone::system(),
            name => jiff::tz::TimeZone::get(name).unwrap_or(jiff::tz::TimeZone::UTC),
        }
    }
}

/// Without the query of the JSON-RPC address, which may hold a secret.
impl fmt::Debug for Kamailio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kamailio")
            .field("database", &self.database)
            .field("server", &self.server)
            .field("tables", &self.tables)
            .field("jsonrpc", &without_secrets(&self.jsonrpc))
            .finish_non_exhaustive()
    }
}

impl Http {
    /// Whether browsers come by TLS; schemes have no case.
    #[must_use]
    pub fn is_https(&self) -> bool {
        let scheme = self
            .public_url
            .as_deref()
            .and_then(|url| url.split_once(':'));
        scheme.is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("https"))
    }

    /// Whether the proxy in front has the API and the page below a path of its own.
    #[must_use]
    pub fn is_below_path(&self) -> bool {
        let rest = self
            .public_url
            .as_deref()
            .and_then(|url| url.split_once("://"));
        rest.is_some_and(|(_, rest)| rest.trim_end_matches('/').contains('/'))
    }
}

impl Config {
    /// The configuration from `file` (without one from [`DEFAULT_FILE`], which may be absent), the environment and
    /// the flags; a later one of these wins.
    ///
    /// # Errors
    /// Every mistake in any of them.
    pub fn load(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
        flags: &[Override],
    ) -> Result<Self, Problems> {
        Loaded::load(file, env, flags).map(|loaded| loaded.config)
    }

    /// The configuration that `text` alone makes; `source` is its name in messages.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(text: &str, source: &str) -> Result<Self, Problems> {
        let file = layers::FileText {
            name: source.to_owned(),
            text: text.to_owned(),
        };
        layers::lay(Some(&file), [], &[]).map(|(config, _)| config)
    }
}

impl Loaded {
    /// As [`Config::load`], with the origin of each value.
    ///
    /// # Errors
    /// Every mistake in file, environment and flags.
    pub fn load(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
        flags: &[Override],
    ) -> Result<Self, Problems> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let text = layers::read(path, file.is_some())?;
        let (config, places) = layers::lay(text.as_ref(), env, flags)?;
        Ok(Self {
            config,
            file: path.to_owned(),
            found: text.is_some(),
            places,
        })
    }
}

#[cfg(test)]
mod tests;

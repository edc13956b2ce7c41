//! The defaults; they suit Debian's Kamailio as it is installed.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::{Bucket, Config, Flush, Http, Jwt, Kamailio, Limits, Log, LogFormat, Store, Wire};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "/etc/usrlocd/usrlocd.toml";

/// Where Debian's `kamdbctl create` puts `db_sqlite`'s file.
const DATABASE: &str = "/var/lib/kamailio/kamailio.sqlite";

/// Kamailio's own name of the table.
const TABLE: &str = "location";

/// `xhttp` answers on the SIP port; `/RPC` is what Kamailio's documentation uses.
const JSONRPC: &str = "http://127.0.0.1:5060/RPC";

/// A healthy Kamailio answers within milliseconds; two seconds ride out a busy moment.
const RPC_TIMEOUT: Duration = Duration::from_secs(2);

/// Kamailio mostly runs on the same machine, or in the same zone.
const TIMEZONE: &str = "local";

/// Reading must not be felt by a server that has other work.
const MAX_LOAD: f64 = 0.05;

/// systemd's `StateDirectory=usrlocd`.
pub(super) const STORE: &str = "/var/lib/usrlocd/usrlocd.db";

/// Kazoo's port, on loopback: other addresses must be configured explicitly.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);

/// systemd's `RuntimeDirectory=usrlocd`.
const SOCKET: &str = "/run/usrlocd/usrlocd.sock";

/// The mirror follows within a second; one that is this far behind is stuck.
const MAX_LAG: Duration = Duration::from_secs(10);

/// Beside the configuration.
const TOKENS_FILE: &str = "/etc/usrlocd/tokens.toml";

/// The `iss` that Kazoo writes.
const ISSUER: &str = "kazoo";

/// Removals at a time: in `db_mode` 1 and 3 each makes one of Kamailio's workers write, and two that write at once fail.
const CONCURRENCY: usize = 1;

/// A dashboard's opening burst, then a steady poll.
const REQUESTS: Bucket = Bucket {
    burst: 2000,
    per_second: 1000.0,
};

/// A DELETE makes every phone of an account register again.
const DELETES: Bucket = Bucket {
    burst: 50,
    per_second: 5.0,
};

/// Wrong tokens: room for a mistake, none for guessing.
const FAILURES: Bucket = Bucket {
    burst: 10,
    per_second: 0.2,
};

/// Well below the file descriptors that the unit allows.
const CONNECTIONS: usize = 1024;

/// The only bodies are small JSON objects.
const BODY_BYTES: usize = 131_072;

/// Ends connections that send nothing.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Every stream that is read costs a little for each event.
const STREAMS: usize = 64;

/// So that one token cannot take all streams.
const STREAMS_PER_TOKEN: usize = 8;

/// A healthy run is quiet at this level.
const LEVEL: &str = "info";

impl Default for Kamailio {
    fn default() -> Self {
        Self {
            database: DATABASE.into(),
            server: None,
            database_file: None,
            database_given: false,
            found_server: None,
            tables: vec![TABLE.to_owned()],
            jsonrpc: JSONRPC.to_owned(),
            jsonrpc_by_id: BTreeMap::new(),
            rpc_timeout: RPC_TIMEOUT,
            default_realm: None,
            advertise: BTreeMap::new(),
            timezone: TIMEZONE.to_owned(),
            server_ids: Vec::new(),
            max_load: MAX_LOAD,
            proxy_path: None,
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { path: STORE.into() }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: vec![LISTEN],
            socket: Some(PathBuf::from(SOCKET)),
            hosts: Vec::new(),
            public_url: None,
            ui: true,
            wire: Wire::Document,
            max_lag: MAX_LAG,
            cors_origins: Vec::new(),
        }
    }
}

impl Default for super::Auth {
    fn default() -> Self {
        Self {
            tokens_file: Some(PathBuf::from(TOKENS_FILE)),
            jwt: Jwt::default(),
        }
    }
}

impl Default for Jwt {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            issuer: ISSUER.to_owned(),
        }
    }
}

impl Default for Flush {
    fn default() -> Self {
        Self {
            also: Vec::new(),
            concurrency: CONCURRENCY,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: REQUESTS,
            deletes: DELETES,
            failures: FAILURES,
            connections: CONNECTIONS,
            body_bytes: BODY_BYTES,
            header_timeout: HEADER_TIMEOUT,
            streams: STREAMS,
            streams_per_token: STREAMS_PER_TOKEN,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LEVEL.to_owned(),
            format: LogFormat::Auto,
        }
    }
}

/// The dotted names of all keys of sections.
pub(super) fn vocabulary() -> Vec<&'static str> {
    let defaults = Config::default();
    let keys = defaults.entries().into_iter().map(|(key, _)| key);
    keys.filter(|key| key.contains('.')).collect()
}

//! How a private registrar is to be configured.

use std::sync::Arc;

use tempfile::TempDir;

use super::Kamailio;
use crate::support::ports;
use crate::support::server::Server;

/// How the tables are journaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Journal {
    Wal,
    Rollback,
}

/// Whose configuration a registrar runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Configuration {
    /// The lab's own.
    Own,
    /// The lab's own, whose JSON-RPC is what this file of `deploy/kamailio` makes.
    Snippet(&'static str),
    /// Debian's as installed, with `deploy/kamailio/kamailio-sqlite.cfg` beside it. It listens on loopback and writes
    /// back every second; nothing else of the builder's counts.
    Debian,
}

/// When the source address of a REGISTER is stored as `received`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    Never,
    /// As Kazoo does.
    Always,
    /// Only where the contact is not the source, as the stock configuration does.
    BehindNat,
}

/// How a registrar is to be configured.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of Kamailio's own"
)]
pub(crate) struct Builder {
    pub(in crate::support) db_mode: u8,
    pub(in crate::support) journal: Journal,
    pub(in crate::support) timer_interval: u32,
    pub(in crate::support) use_domain: bool,
    pub(in crate::support) matching_mode: u8,
    pub(in crate::support) children: u32,
    pub(in crate::support) shared_memory: u32,
    pub(in crate::support) private_memory: u32,
    pub(in crate::support) case_sensitive: bool,
    pub(in crate::support) handle_lost_tcp: bool,
    pub(in crate::support) expires: (u32, u32, u32),
    pub(in crate::support) received: Received,
    pub(in crate::support) path: bool,
    pub(in crate::support) outbound: bool,
    pub(in crate::support) ipv6: bool,
    pub(in crate::support) tls: Option<u16>,
    pub(in crate::support) datagram: bool,
    pub(in crate::support) cache: bool,
    pub(in crate::support) tm: Option<u32>,
    pub(in crate::support) save_flags: String,
    pub(in crate::support) port: Option<u16>,
    pub(in crate::support) tables: Vec<String>,
    pub(in crate::support) server: Option<Arc<Server>>,
    pub(in crate::support) server_id: u32,
    pub(in crate::support) timezone: Option<String>,
    pub(in crate::support) configuration: Configuration,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            db_mode: 2,
            journal: Journal::Wal,
            timer_interval: 1,
            use_domain: true,
            matching_mode: 0,
            children: 2,
            shared_memory: 64,
            private_memory: 8,
            case_sensitive: false,
            handle_lost_tcp: false,
            expires: (0, 3600, 0),
            received: Received::Always,
            path: true,
            outbound: false,
            ipv6: false,
            tls: None,
            datagram: false,
            cache: false,
            tm: None,
            save_flags: "0x00".to_owned(),
            port: None,
            tables: vec!["location".to_owned()],
            server: None,
            server_id: 0,
            timezone: None,
            configuration: Configuration::Own,
        }
    }

    /// 1 write-through, 2 write-back, 3 database only; one worker in 1 and 3, whose workers collide otherwise.
    pub(crate) fn db_mode(mut self, mode: u8) -> Self {
        self.db_mode = mode;
        if mode != 2 {
            self.children = 1;
        }
        self
    }

    pub(crate) fn journal(mut self, journal: Journal) -> Self {
        self.journal = journal;
        self
    }

    /// Seconds between two write-backs or clean-ups.
    pub(crate) fn timer_interval(mut self, seconds: u32) -> Self {
        self.timer_interval = seconds;
        self
    }

    pub(crate) fn use_domain(mut self, yes: bool) -> Self {
        self.use_domain = yes;
        self
    }

    pub(crate) fn matching_mode(mut self, mode: u8) -> Self {
        self.matching_mode = mode;
        self
    }

    /// Workers for each of UDP and TCP.
    pub(crate) fn children(mut self, workers: u32) -> Self {
        self.children = workers;
        self
    }

    /// Megabytes of shared and of private memory: `-m` and `-M`.
    pub(crate) fn memory(mut self, shared: u32, private: u32) -> Self {
        (self.shared_memory, self.private_memory) = (shared, private);
        self
    }

    pub(crate) fn case_sensitive(mut self, yes: bool) -> Self {
        self.case_sensitive = yes;
        self
    }

    pub(crate) fn handle_lost_tcp(mut self, yes: bool) -> Self {
        self.handle_lost_tcp = yes;
        self
    }

    /// Least, default and greatest seconds of a registration; 0 sets no bound.
    pub(crate) fn expires(mut self, least: u32, default: u32, greatest: u32) -> Self {
        self.expires = (least, default, greatest);
        self
    }

    pub(crate) fn received(mut self, received: Received) -> Self {
        self.received = received;
        self
    }

    /// Whether the Path header is stored.
    pub(crate) fn path(mut self, yes: bool) -> Self {
        self.path = yes;
        self
    }

    /// Whether outbound, GRUU and reg-id are supported.
    pub(crate) fn outbound(mut self, yes: bool) -> Self {
        self.outbound = yes;
        self
    }

    /// Listens on `::1` too.
    pub(crate) fn ipv6(mut self, yes: bool) -> Self {
        self.ipv6 = yes;
        self
    }

    /// Listens for TLS too, with a certificate of its own, see [`Kamailio::address_tls`].
    pub(crate) fn tls(mut self) -> Self {
        self.tls = Some(ports::free());
        self
    }

    /// Serves JSON-RPC on a datagram socket too, see [`Kamailio::datagram_socket`].
    pub(crate) fn datagram(mut self, yes: bool) -> Self {
        self.datagram = yes;
        self
    }

    /// Keeps two hash tables: `auth_cache` has each address of record that registered, `realms` each realm.
    pub(crate) fn cache(mut self, yes: bool) -> Self {
        self.cache = yes;
        self
    }

    /// Loads the module `tm`, which waits for an answer for so many milliseconds.
    pub(crate) fn tm(mut self, fr_timer: u32) -> Self {
        self.tm = Some(fr_timer);
        self
    }

    /// The flags of `save()`: "0x04" keeps one contact a user, as Kazoo does.
    pub(crate) fn save_flags(mut self, flags: &str) -> Self {
        flags.clone_into(&mut self.save_flags);
        self
    }

    /// A port to use instead of a free one.
    pub(crate) fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Another configuration than the lab's own.
    pub(crate) fn configuration(mut self, configuration: Configuration) -> Self {
        self.configuration = configuration;
        self
    }

    /// A server for the tables instead of a file; it has `location`.
    pub(crate) fn server(mut self, server: &Arc<Server>) -> Self {
        self.server = Some(Arc::clone(server));
        self
    }

    /// The number by which the rows of this registrar are told from others' in the same table.
    pub(crate) fn server_id(mut self, id: u32) -> Self {
        self.server_id = id;
        self
    }

    /// The zone of its local time.
    pub(crate) fn timezone(mut self, name: &str) -> Self {
        self.timezone = Some(name.to_owned());
        self
    }

    /// The usrloc tables, `location` first. A phone with the header `X-Table` is saved to that one.
    pub(crate) fn tables(mut self, names: &[&str]) -> Self {
        self.tables = names.iter().map(ToString::to_string).collect();
        self
    }

    /// Creates the tables and starts the registrar; returns when it is ready.
    pub(crate) fn start(self) -> Kamailio {
        let folder = TempDir::with_prefix("usrlocd-kamailio-").expect("a temporary directory");
        let port = self.port.unwrap_or_else(ports::free);
        let file = folder.path().join("db/kamailio.sqlite");
        let server = self.server.as_ref();
        let mut kamailio = Kamailio {
            database: server.map_or(file, |server| server.url().into()),
            process: None,
            lab: self,
            folder,
            port,
        };
        kamailio.create();
        kamailio.start();
        kamailio
    }
}

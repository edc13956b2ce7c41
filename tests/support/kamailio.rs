//! A private Kamailio registrar: its own directory, ports and tables.

mod builder;

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::phone::ping;
use super::process::Process;
use super::table::{Row, Table};
use super::{eventually, holds, http, registrar_cfg, tools};

pub(crate) use builder::{Builder, Configuration, Journal, Received};

/// The time within which a Kamailio has started on a busy machine.
const START: Duration = Duration::from_secs(30);

/// The time within which a Kamailio ends on SIGTERM, its last write-back included.
const STOP: Duration = Duration::from_secs(30);

/// A registrar; it ends with this value, and so do its files.
#[derive(Debug)]
pub(crate) struct Kamailio {
    process: Option<Process>,
    lab: Builder,
    port: u16,
    database: PathBuf,
    folder: TempDir,
}

impl Kamailio {
    /// A registrar as Kazoo runs it, except that it writes back every second and keeps all contacts of a user.
    pub(crate) fn builder() -> Builder {
        Builder::new()
    }

    /// Starts the registrar again, on the same files and ports; returns when its memory is loaded.
    ///
    /// # Panics
    ///
    /// With the end of its log, when it does not get ready.
    pub(crate) fn start(&mut self) {
        assert!(self.process.is_none(), "this Kamailio runs already");
        let expected = self.valid_for_a_while();
        let mut command = Command::new(tools::program("kamailio"));
        command
            .args(["-DD", "-E", "-m", &self.lab.shared_memory.to_string()])
            .args(["-M", &self.lab.private_memory.to_string(), "-Y"])
            .arg(self.folder.path())
            .arg("-f")
            .arg(self.file("kamailio.cfg"))
            .envs(self.lab.timezone.iter().map(|zone| ("TZ", zone)));
        if self.lab.configuration == Configuration::Debian {
            for transport in ["udp", "tcp"] {
                command.args(["-l", &format!("{transport}:{}", self.address())]);
            }
        }
        let mut process = Process::spawn(&mut command, &self.file("kamailio.log"));
        eventually("Kamailio starts", START, || {
            if let Some(status) = process.ended() {
                panic!("Kamailio ended with {status}:\n{}", process.log_tail());
            }
            self.is_ready(expected)
                .map_err(|complaint| format!("{complaint}; its log ends:\n{}", process.log_tail()))
        });
        self.process = Some(process);
    }

    /// Ends the registrar as an operator does; write-back puts what it holds into the tables first.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.terminate(STOP);
            process.kill();
        }
    }

    /// Ends the registrar as a power cut does.
    pub(crate) fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Sends a signal to all of its processes.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process
            .as_ref()
            .expect("this Kamailio runs")
            .signal(signal);
    }

    /// Where phones and HTTP clients of IPv4 find it.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Where phones of IPv6 find it, if it was built so.
    pub(crate) fn address_v6(&self) -> SocketAddr {
        assert!(self.lab.ipv6, "this Kamailio does not listen on IPv6");
        (Ipv6Addr::LOCALHOST, self.port).into()
    }

    /// Where phones on TLS find it, if it was built so.
    pub(crate) fn address_tls(&self) -> SocketAddr {
        let port = self.lab.tls.expect("this Kamailio has no TLS");
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// The certificate that it shows, which is signed by itself.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.file("tls.crt")
    }

    /// The URL of its JSON-RPC.
    pub(crate) fn rpc_url(&self) -> String {
        format!("http://{}/RPC", self.address())
    }

    /// The socket of its JSON-RPC in datagrams, if it was built so.
    pub(crate) fn datagram_socket(&self) -> Option<PathBuf> {
        self.lab.datagram.then(|| self.file("rpc.sock"))
    }

    /// Its configuration, which names the file of its tables.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.file("kamailio.cfg")
    }

    /// The file of its tables, or the URL by which others may read them.
    pub(crate) fn database(&self) -> &Path {
        &self.database
    }

    /// The names of all files in the directory of its tables, sorted.
    pub(crate) fn database_files(&self) -> Vec<String> {
        let folder = self.database.parent().expect("the file is in a directory");
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("an own directory is readable")
            .map(|entry| entry.expect("an own directory is readable").file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// What it logged since its first start.
    pub(crate) fn log(&self) -> String {
        fs::read(self.file("kamailio.log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Fails the test where a statement of its failed because somebody else held a lock. That is asked in write-back
    /// mode alone, where the timer is the only writer: in the other modes Kamailio's own workers and its timer refuse
    /// each other now and then, with nobody else about.
    #[track_caller]
    pub(crate) fn has_missed_no_lock(&self) {
        let log = self.log();
        let missed = log.matches("database is locked").count();
        assert!(
            self.lab.db_mode != 2 || missed == 0,
            "{missed} times: {log}"
        );
    }

    /// The valid content of its tables, as `sqlite3` reads it from a copy; the tables themselves are not touched.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.rows_of("location")
    }

    /// The same of another usrloc table.
    pub(crate) fn rows_of(&self, table: &str) -> Vec<Row> {
        match &self.lab.server {
            Some(server) => server.rows_of(table),
            None => Table::copy_of(&self.database).rows_of(table),
        }
    }

    /// Runs a statement on the tables, as an operator would; only while no Kamailio runs.
    pub(crate) fn sql(&self, statement: &str) -> String {
        assert!(
            self.process.is_none(),
            "SQL beside a running Kamailio disturbs it"
        );
        Table::at(&self.database).query(statement)
    }

    /// Calls a JSON-RPC method; the whole answer, with its `result` or its `error`.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub(crate) fn rpc(&self, method: &str, params: &Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 1});
        self.rpc_bytes(body.to_string().as_bytes())
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The contacts that its memory (or, in mode 3, its table) has of an address of record.
    ///
    /// # Panics
    ///
    /// When it says something else than them, or that there are none.
    pub(crate) fn lookup(&self, aor: impl AsRef<[u8]>) -> Vec<Value> {
        self.lookup_in("location", aor)
    }

    /// The same of another usrloc table.
    ///
    /// # Panics
    ///
    /// When it says something else than them, or that there are none.
    pub(crate) fn lookup_in(&self, table: &str, aor: impl AsRef<[u8]>) -> Vec<Value> {
        let aor = aor.as_ref();
        let call = r#"{"jsonrpc":"2.0","method":"ul.lookup","params":[""#;
        let mut body = format!("{call}{table}\",\"").into_bytes();
        for &byte in aor {
            if matches!(byte, b'"' | b'\\') {
                body.push(b'\\');
            }
            body.push(byte);
        }
        body.extend_from_slice(br#""],"id":1}"#);
        let answer = self
            .rpc_bytes(&body)
            .unwrap_or_else(|error| panic!("ul.lookup: {error}"));
        match answer["error"]["message"].as_str() {
            Some("AOR not found in location table" | "AOR has no contacts") => return Vec::new(),
            Some(other) => panic!("ul.lookup {}: {other}", aor.escape_ascii()),
            None => {}
        }
        answer["result"]["Contacts"]
            .as_array()
            .unwrap_or_else(|| panic!("ul.lookup {}: {answer}", aor.escape_ascii()))
            .iter()
            .map(|entry| entry["Contact"].clone())
            .collect()
    }

    /// How many contacts its memory holds; always 0 in mode 3.
    pub(crate) fn contacts_in_memory(&self) -> u64 {
        let answer = self.rpc("stats.fetchn", &json!(["usrloc:"]));
        answer["result"]["usrloc.location_contacts"]
            .as_u64()
            .unwrap_or_else(|| panic!("no number of contacts in {answer}"))
    }

    fn rpc_bytes(&self, body: &[u8]) -> std::io::Result<Value> {
        let headers = [("Content-Type", "application/json")];
        http::request(self.address(), "POST", "/RPC", &headers, body).map(|answer| answer.json())
    }

    fn is_ready(&self, expected: u64) -> Result<(), String> {
        let uptime = br#"{"jsonrpc":"2.0","method":"core.uptime","id":1}"#;
        let answer = self.rpc_bytes(uptime).map_err(|error| error.to_string())?;
        holds(answer["result"].is_object(), || answer.to_string())?;
        holds(ping(self.address()), || "no answer to OPTIONS".to_owned())?;
        if self.lab.db_mode == 3 {
            return Ok(());
        }
        let loaded = self.contacts_in_memory();
        holds(loaded >= expected, || {
            format!("{loaded} of {expected} contacts are loaded")
        })
    }

    /// The number of rows that the memory will have after a start: those that do not expire meanwhile.
    fn valid_for_a_while(&self) -> u64 {
        if self.lab.server.is_some() {
            return 0;
        }
        let count = Table::copy_of(&self.database).query(
            "select count(*) from location where username <> '' and coalesce(domain, '-') <> '' \
             and (expires < 2440588 or expires > julianday('now') + 60 / 86400.0)",
        );
        count.trim().parse().expect("a count is a number")
    }

    fn create(&self) {
        match &self.lab.server {
            Some(server) => {
                let further = self.lab.tables.iter().skip(1);
                further.for_each(|name| server.create_table(name));
            }
            None => self.create_database(),
        }
        let cfg = if self.lab.configuration == Configuration::Debian {
            let local = registrar_cfg::local(&self.database);
            fs::write(self.file("kamailio-local.cfg"), local)
                .expect("an own directory is writable");
            registrar_cfg::debian()
        } else {
            if self.lab.tls.is_some() {
                self.create_certificate();
            }
            registrar_cfg::render(&self.lab, self.port, &self.database, self.folder.path())
        };
        fs::write(self.file("kamailio.cfg"), cfg).expect("an own directory is writable");
    }

    fn create_certificate(&self) {
        let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]);
        let own = own.expect("it signs itself");
        for (file, pem) in [
            (self.certificate(), own.cert.pem()),
            (self.file("tls.key"), own.signing_key.serialize_pem()),
        ] {
            fs::write(file, pem).expect("an own directory is writable");
        }
    }

    fn create_database(&self) {
        let folder = self.database.parent().expect("the file is in a directory");
        fs::create_dir(folder).expect("an own directory is writable");
        let table = Table::at(&self.database);
        for script in ["standard-create.sql", "usrloc-create.sql"] {
            let script = fs::read_to_string(tools::schema(script)).expect("a schema is text");
            table.query(&script);
        }
        for name in self.lab.tables.iter().skip(1) {
            let script = fs::read_to_string(tools::schema("usrloc-create.sql"));
            let script = script.expect("a schema is text");
            table.query(&script.replace("location", name));
        }
        if self.lab.journal == Journal::Wal {
            table.query("pragma journal_mode = wal");
        }
    }

    /// A file in its directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

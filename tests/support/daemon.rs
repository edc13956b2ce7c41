//! The real usrlocd beside a Kamailio.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::Signal;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::http::{self, Response};
use super::kamailio::Kamailio;
use super::process::Process;
use super::{eventually, ports, tools};

/// The time within which a usrlocd is ready on a busy machine.
const START: Duration = Duration::from_secs(30);

/// The time within which a usrlocd has drained: 10 s, and some for a busy machine.
const STOP: Duration = Duration::from_secs(15);

/// What usrlocd is to be started with.
#[derive(Debug, Clone)]
pub(crate) struct Builder {
    database: PathBuf,
    rpc: String,
    port: Option<u16>,
    sections: String,
    tokens: String,
    wrapper: Vec<String>,
    environment: Vec<(String, String)>,
    verb: &'static str,
}

impl Builder {
    /// The database to mirror, instead of the Kamailio's.
    pub(crate) fn database(mut self, file: &Path) -> Self {
        file.clone_into(&mut self.database);
        self
    }

    /// The address of Kamailio's JSON-RPC, instead of the Kamailio's.
    pub(crate) fn rpc(mut self, address: &str) -> Self {
        address.clone_into(&mut self.rpc);
        self
    }

    /// A port to use instead of a free one.
    pub(crate) fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Further sections of the configuration, in TOML; `[kamailio]`, `[store]`, `[http]` and `[auth]` are there.
    pub(crate) fn sections(mut self, toml: &str) -> Self {
        self.sections.push_str(toml);
        self
    }

    /// A further token, beside [`Daemon::TOKEN`], which may do all.
    pub(crate) fn token(
        mut self,
        name: &str,
        token: &str,
        accounts: &[&str],
        rights: &[&str],
    ) -> Self {
        self.tokens.push_str(&stanza(name, token, accounts, rights));
        self
    }

    /// A variable of its environment.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A program with its arguments in front of usrlocd's own, for example `strace -f`.
    pub(crate) fn wrapper(mut self, command: &[&str]) -> Self {
        self.wrapper = command.iter().map(ToString::to_string).collect();
        self
    }

    /// Writes the configuration and starts usrlocd; returns when it is ready.
    pub(crate) fn start(self) -> Daemon {
        let mut daemon = self.prepare();
        daemon.start();
        daemon
    }

    /// Writes the configuration, and starts nothing yet.
    pub(crate) fn prepare(self) -> Daemon {
        let folder = TempDir::with_prefix("usrlocd-daemon-").expect("a temporary directory");
        let port = self.port.unwrap_or_else(ports::free);
        let daemon = Daemon {
            process: None,
            lab: self,
            folder,
            port,
        };
        daemon.write("usrlocd.toml", &daemon.config());
        daemon.write("tokens.toml", &daemon.lab.tokens);
        daemon
    }
}

/// A usrlocd; it ends with this value, and so do its files.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Option<Process>,
    lab: Builder,
    port: u16,
    folder: TempDir,
}

impl Daemon {
    /// A token that may do all.
    pub(crate) const TOKEN: &str = "lab-token-0123456789abcdef";

    /// A usrlocd for this Kamailio.
    pub(crate) fn builder(kamailio: &Kamailio) -> Builder {
        Builder {
            database: kamailio.database().to_owned(),
            rpc: kamailio.rpc_url(),
            port: None,
            sections: String::new(),
            tokens: stanza("lab", Self::TOKEN, &["*"], &["read", "flush"]),
            wrapper: Vec::new(),
            environment: Vec::new(),
            verb: "serve",
        }
    }

    /// A `usrlocd fleet` over this database. There is no Kamailio beside it.
    pub(crate) fn fleet(url: &str) -> Builder {
        Builder {
            database: PathBuf::from("/nonexistent/kamailio.sqlite"),
            rpc: "http://127.0.0.1:9/RPC".to_owned(),
            port: None,
            sections: format!("[fleet]\nurl = \"{url}\"\nnode = \"reader\"\n"),
            tokens: stanza("lab", Self::TOKEN, &["*"], &["read", "flush"]),
            wrapper: Vec::new(),
            environment: Vec::new(),
            verb: "fleet",
        }
    }

    /// Starts usrlocd, again on the same files and port; returns when `/readyz` says so.
    ///
    /// # Panics
    ///
    /// With the end of its log, when it does not get ready.
    pub(crate) fn start(&mut self) {
        self.launch();
        self.wait_until("usrlocd is ready", "/readyz");
    }

    /// Starts usrlocd and returns when it answers at all: beside a Kamailio that cannot be read it is never ready.
    pub(crate) fn start_unready(&mut self) {
        self.launch();
        self.wait_until("usrlocd answers", "/livez");
    }

    /// A command of the same usrlocd with the same configuration, for example `check-config`.
    pub(crate) fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(tools::usrlocd());
        command.arg(verb).arg("--config").arg(self.config_file());
        command
    }

    /// Ends usrlocd as systemd does; its exit status.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("this usrlocd runs");
        let status = if self.lab.wrapper.is_empty() {
            process.terminate(STOP)
        } else {
            // The wrapper is not whom systemd would ask: strace, for one, waits for its child. One signal, for a second one
            // would mean that there is a hurry.
            process.signal(Signal::TERM);
            process.end_within(STOP)
        };
        process.kill();
        status
    }

    /// Ends usrlocd as a power cut does.
    pub(crate) fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// The exit status, should it have ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.as_mut().and_then(Process::ended)
    }

    /// Its process; with a wrapper, the wrapper's.
    pub(crate) fn process(&self) -> &Process {
        self.process.as_ref().expect("this usrlocd runs")
    }

    /// `GET` with the token.
    pub(crate) fn get(&self, target: &str) -> Response {
        self.request("GET", target, &[("X-Auth-Token", Self::TOKEN)], b"")
    }

    /// `DELETE` with the token.
    pub(crate) fn delete(&self, target: &str) -> Response {
        self.request("DELETE", target, &[("X-Auth-Token", Self::TOKEN)], b"")
    }

    /// A request with these headers alone.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub(crate) fn request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.try_request(method, target, headers, body)
            .unwrap_or_else(|error| panic!("{method} {target}: {error}; log:\n{}", self.log()))
    }

    /// A request that may stay without an answer.
    pub(crate) fn try_request(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        http::request(self.address(), method, target, headers, body)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its Unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.file("usrlocd.sock")
    }

    /// The file of its store.
    pub(crate) fn store(&self) -> PathBuf {
        self.file("store/usrlocd.db")
    }

    /// Its configuration.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.file("usrlocd.toml")
    }

    /// Its tokens.
    pub(crate) fn tokens_file(&self) -> PathBuf {
        self.file("tokens.toml")
    }

    /// Puts other tokens in place of all that there are, as `(name, token)`; each may do all.
    pub(crate) fn replace_tokens(&self, tokens: &[(&str, &str)]) {
        let stanzas = tokens
            .iter()
            .map(|(name, token)| stanza(name, token, &["*"], &["read", "flush"]));
        self.write("tokens.toml", &stanzas.collect::<String>());
    }

    /// Sends a signal to the daemon.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process().signal(signal);
    }

    /// A file in its directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What it logged since its first start.
    pub(crate) fn log(&self) -> String {
        fs::read(self.file("usrlocd.log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn launch(&mut self) {
        assert!(self.process.is_none(), "this usrlocd runs already");
        let own = self.command(self.lab.verb);
        let mut command = match self.lab.wrapper.split_first() {
            None => own,
            Some((program, arguments)) => {
                let mut command = Command::new(tools::program(program));
                command.args(arguments);
                command.arg(own.get_program()).args(own.get_args());
                command
            }
        };
        command.envs(self.lab.environment.iter().cloned());
        self.process = Some(Process::spawn(&mut command, &self.file("usrlocd.log")));
    }

    fn wait_until(&mut self, what: &str, target: &str) {
        let address = self.address();
        let process = self.process.as_mut().expect("it was launched");
        eventually(what, START, || {
            if let Some(status) = process.ended() {
                panic!("usrlocd ended with {status}:\n{}", process.log_tail());
            }
            let complaint = match http::request(address, "GET", target, &[], b"") {
                Ok(answer) if answer.status == 200 => return Ok(()),
                Ok(answer) => format!("HTTP {} {}", answer.status, answer.text()),
                Err(error) => error.to_string(),
            };
            Err(format!(
                "{complaint}; its log ends:\n{}",
                process.log_tail()
            ))
        });
    }

    fn config(&self) -> String {
        format!(
            "[kamailio]
database = {database:?}
jsonrpc = {rpc:?}

[store]
path = {store:?}

[http]
listen = [\"{address}\"]
socket = {socket:?}

[auth]
tokens_file = {tokens:?}

{sections}",
            database = self.lab.database.display().to_string(),
            rpc = self.lab.rpc,
            store = self.store().display().to_string(),
            address = self.address(),
            socket = self.socket().display().to_string(),
            tokens = self.tokens_file().display().to_string(),
            sections = self.lab.sections,
        )
    }

    fn write(&self, name: &str, text: &str) {
        let file = self.file(name);
        fs::write(&file, text).expect("an own directory is writable");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
    }
}

fn stanza(name: &str, token: &str, accounts: &[&str], rights: &[&str]) -> String {
    let sha256 = hex::encode(Sha256::digest(token));
    format!(
        "[[token]]\nname = {name:?}\nsha256 = \"{sha256}\"\naccounts = {accounts:?}\nrights = {rights:?}\n\n"
    )
}

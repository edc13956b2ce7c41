//! A private database server for Kamailio's tables: its own directory, port and users.

mod access;
mod reads;
mod rows;
mod standby;
mod tls;

use std::env;
use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::unistd::{User, geteuid};
use rustix::process::Signal;
use tempfile::TempDir;

use super::process::Process;
use super::{eventually, ports, tools};

/// The time within which a server has started on a busy machine.
const START: Duration = Duration::from_mins(1);

/// What usrlocd logs in with; it may read the usrloc tables and nothing else.
pub(crate) const PASSWORD: &str = "only-for-reading";

/// Where its packages put the programs of a version of `PostgreSQL`.
const POSTGRESQL: &str = "/usr/lib/postgresql";

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Postgres,
    MariaDb,
}

/// A server; it ends with this value, and so do its files.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) engine: Engine,
    /// Whether its times are Unix seconds, as with `expires_type` 1.
    pub(super) has_numbers: bool,
    /// Whether usrlocd writes there too: the tables of a fleet.
    is_written: bool,
    process: Mutex<Option<Process>>,
    port: u16,
    folder: TempDir,
}

impl Engine {
    /// Kamailio's module for it.
    pub(super) fn module(self) -> &'static str {
        match self {
            Self::Postgres => "db_postgres",
            Self::MariaDb => "db_mysql",
        }
    }

    /// Who it runs as where root starts it.
    fn user(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mysql",
        }
    }

    fn schema(self, name: &str) -> String {
        let folder = match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mysql",
        };
        let file = tools::of_kamailio(&format!("/usr/share/kamailio/{folder}/{name}"));
        fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{}: {error}; {}", file.display(), tools::INSTALL))
    }
}

impl Server {
    /// Starts a server with Kamailio's stock tables `location` and `location_attrs`. Its own zone is New York's.
    pub(crate) fn start(engine: Engine) -> Arc<Self> {
        Arc::new(Self::prepare(engine, false))
    }

    /// Starts a `PostgreSQL` for a fleet, where usrlocd may write.
    pub(crate) fn for_fleet() -> Arc<Self> {
        let mut server = Self::prepare(Engine::Postgres, false);
        server.is_written = true;
        Arc::new(server)
    }

    fn prepare(engine: Engine, has_numbers: bool) -> Self {
        let folder = TempDir::with_prefix("usrlocd-server-").expect("a temporary directory");
        let server = Self {
            engine,
            has_numbers,
            is_written: false,
            process: Mutex::new(None),
            port: ports::free(),
            folder,
        };
        server.own(server.folder.path());
        server.initialize();
        server.resume();
        server.create();
        server
    }

    /// The URL that usrlocd is given.
    pub(crate) fn url(&self) -> String {
        let scheme = match self.engine {
            Engine::Postgres => "postgres",
            Engine::MariaDb => "mysql",
        };
        format!(
            "{scheme}://usrlocd:{PASSWORD}@127.0.0.1:{}/kamailio",
            self.port
        )
    }

    /// The same at another port: a relay's.
    pub(crate) fn url_at(&self, port: u16) -> String {
        self.url()
            .replace(&format!(":{}/", self.port), &format!(":{port}/"))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The URL that Kamailio is given.
    pub(crate) fn owner_url(&self) -> String {
        let scheme = match self.engine {
            Engine::Postgres => "postgres",
            Engine::MariaDb => "mysql",
        };
        format!("{scheme}://kamailio:owner@127.0.0.1:{}/kamailio", self.port)
    }

    /// Ends the server at once.
    pub(crate) fn stop(&self) {
        if let Some(mut process) = self.process.lock().expect("no test has panicked").take() {
            // Its processes have sessions of their own, and end with the first of them.
            process.signal(match self.engine {
                Engine::Postgres => Signal::INT,
                Engine::MariaDb => Signal::TERM,
            });
            eventually("the server ends", START, || {
                process.ended().ok_or("it still runs")
            });
        }
    }

    /// Starts the server again, on the same files and port.
    pub(crate) fn resume(&self) {
        let mut command = self.as_its_user(&self.program(match self.engine {
            Engine::Postgres => "postgres",
            Engine::MariaDb => "mariadbd",
        }));
        let port = self.port.to_string();
        let (data, socket) = (self.file("data"), self.file("server.sock"));
        match self.engine {
            Engine::Postgres => command
                .arg("-D")
                .arg(data)
                .args(["-p", &port, "-k"])
                .arg(self.folder.path())
                .args(["-c", "fsync=off", "-c", "timezone=America/New_York"])
                .args(["-c", "log_timezone=America/New_York"])
                .args(["-c", "log_statement=all", "-c", "log_line_prefix=%a: "]),
            Engine::MariaDb => command
                .arg("--no-defaults")
                .arg(format!("--datadir={}", data.display()))
                .arg(format!("--socket={}", socket.display()))
                .arg(format!("--port={port}"))
                .arg(format!("--pid-file={}", self.file("pid").display()))
                .arg(format!(
                    "--general-log-file={}",
                    self.file("statements.log").display()
                ))
                .args(["--bind-address=127.0.0.1", "--general-log=1"])
                .args([
                    "--character-set-server=utf8mb4",
                    "--default-time-zone=-05:00",
                ])
                .args(["--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve"]),
        };
        self.encrypt(&mut command);
        let process = Process::spawn(&mut command, &self.file("server.log"));
        *self.process.lock().expect("no test has panicked") = Some(process);
        eventually("the server starts", START, || {
            self.try_query_in(self.first_database(), "select 1")
                .map_err(|error| format!("{error}; {}", self.log()))
        });
    }

    /// What it logged: its own messages, and every statement.
    pub(crate) fn log(&self) -> String {
        let read = |name: &str| fs::read(self.file(name)).unwrap_or_default();
        let log = [read("server.log"), read("statements.log")].concat();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// What the server prints for statements of its administrator.
    pub(crate) fn query(&self, sql: &str) -> String {
        self.try_query_in("kamailio", sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn initialize(&self) {
        let data = self.file("data");
        let mut command = match self.engine {
            Engine::Postgres => {
                let mut command = self.as_its_user(&self.program("initdb"));
                command.args([
                    "-U",
                    "postgres",
                    "--auth=trust",
                    "--no-sync",
                    "--encoding=UTF8",
                ]);
                command.args(["--locale=C.UTF-8", "-D"]).arg(&data);
                command
            }
            Engine::MariaDb => {
                let mut command = self.as_its_user(&self.program("mariadb-install-db"));
                command.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
                command.args(["--skip-test-db"]);
                command.arg(format!("--datadir={}", data.display()));
                command
            }
        };
        let output = command.output().expect("it can be started");
        assert!(
            output.status.success(),
            "{command:?}: {}; is there room in {}? It said:\n{}{}",
            output.status,
            self.folder.path().display(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        if self.engine == Engine::Postgres {
            let rules = "local all all trust\nlocal replication all trust\nhost all kamailio 127.0.0.1/32 trust\nhost all usrlocd 127.0.0.1/32 scram-sha-256\n";
            fs::write(data.join("pg_hba.conf"), rules).expect("it is there");
        }
    }

    fn create(&self) {
        let users = match self.engine {
            Engine::Postgres => format!(
                "create role kamailio login; create role usrlocd login password '{PASSWORD}'; create database kamailio owner kamailio;"
            ),
            Engine::MariaDb => format!(
                "create database kamailio; create user kamailio@'127.0.0.1' identified by 'owner'; create user usrlocd@'127.0.0.1' identified by '{PASSWORD}'; grant all on kamailio.* to kamailio@'127.0.0.1';"
            ),
        };
        for statement in users.split_inclusive(';') {
            let created = self.try_query_in(self.first_database(), statement);
            created.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        self.create_tables();
    }

    /// Kamailio's tables, and the rights to them.
    pub(crate) fn create_tables(&self) {
        self.query(&self.engine.schema("standard-create.sql"));
        self.create_table("location");
    }

    /// A usrloc table with its attributes, and the rights to them.
    pub(crate) fn create_table(&self, name: &str) {
        let schema = self.engine.schema("usrloc-create.sql");
        let rights = match self.engine {
            Engine::Postgres => format!(
                "grant all on all tables in schema public to kamailio; grant all on all sequences in schema public to kamailio; grant select on {name}, {name}_attrs to usrlocd;"
            ),
            Engine::MariaDb => format!(
                "grant select on kamailio.{name} to usrlocd@'127.0.0.1'; grant select on kamailio.{name}_attrs to usrlocd@'127.0.0.1';"
            ),
        };
        self.query(&(schema.replace("location", name) + &rights));
    }

    fn first_database(&self) -> &'static str {
        match self.engine {
            Engine::Postgres => "postgres",
            Engine::MariaDb => "mysql",
        }
    }

    fn try_query_in(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut command = match self.engine {
            Engine::Postgres => {
                let mut command = Command::new(self.program("psql"));
                command.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"]);
                command
                    .arg(self.folder.path())
                    .args(["-p", &self.port.to_string()]);
                command.args(["-d", database, "-f", "-"]);
                command
            }
            Engine::MariaDb => {
                let mut command = Command::new(self.program("mariadb"));
                command.args(["--no-defaults", "--batch", "--skip-column-names", "--raw"]);
                command.args(["--default-character-set=utf8mb4", "-u", "root", "-S"]);
                command.arg(self.file("server.sock")).arg(database);
                command
            }
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a client starts");
        let mut input = child.stdin.take().expect("the input is a pipe");
        // A client that cannot connect reads nothing.
        let _written = input.write_all(sql.as_bytes());
        drop(input);
        let output = child.wait_with_output().expect("a client ends");
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn program(&self, name: &str) -> PathBuf {
        if self.engine == Engine::MariaDb {
            return tools::program(name);
        }
        let versions = fs::read_dir(POSTGRESQL).into_iter().flatten().flatten();
        let programs = versions.map(|version| version.path().join("bin").join(name));
        let newest = programs.filter(|program| program.is_file()).max();
        newest.unwrap_or_else(|| panic!("{name} is not installed; as root: {}", tools::INSTALL))
    }

    /// A command as the user that the server runs as: none of them runs as root. Its temporary files are its own:
    /// a `MariaDB` that starts removes those of all others in the same directory, and one that is initialized then ends.
    fn as_its_user(&self, program: &Path) -> Command {
        let mut command = if geteuid().is_root() {
            let user = self.engine.user();
            let mut command = Command::new(tools::program("setpriv"));
            command
                .arg(format!("--reuid={user}"))
                .arg(format!("--regid={user}"));
            command.args(["--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command
            .env("LC_ALL", "C.UTF-8")
            .env("TMPDIR", self.folder.path())
            .current_dir(env::temp_dir());
        command
    }

    fn own(&self, folder: &Path) {
        if geteuid().is_root() {
            let user = User::from_name(self.engine.user()).expect("users can be asked for");
            let user =
                user.unwrap_or_else(|| panic!("its package makes a user; {}", tools::INSTALL));
            chown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("root may");
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(mut process) = self.process.lock()
            && let Some(mut process) = process.take()
        {
            process.kill();
        }
        // Of every test with a server that is Kamailio's alone.
        if !self.is_written && !std::thread::panicking() {
            self.only_reads();
        }
    }
}

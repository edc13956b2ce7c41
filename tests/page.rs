//! The page in a real browser, beside a real Kamailio with phones: `make ui-test` runs this. What a person does and sees
//! is in `tests/ui/*.test.js`; those files ask for phones, and for a usrlocd that ends and starts, over a socket of this
//! test's.

mod fleet;
mod large;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::{env, fs};

use serde_json::{Value, json};

use fleet::Fleet;
use large::Large;

use crate::support::account::Account;
use crate::support::daemon::Daemon;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::phone::answering::Answering;
use crate::support::tools;

/// May only read.
const READER: &str = "reader-token-0123456789abcdef";
/// Is revoked while somebody looks.
const LEAVER: &str = "leaver-token-0123456789abcdef";

/// Kamailio's own timer for requests that it sends (ms).
const FR_TIMER: u32 = 30_000;

/// What the browser's tests may ask for.
struct Lab {
    kamailio: Kamailio,
    daemon: Daemon,
    phones: HashMap<String, Phone>,
    answering: Vec<Answering>,
    /// A usrlocd whose table is not there.
    blind: Option<Daemon>,
    large: Option<Large>,
    fleet: Option<Fleet>,
}

impl Lab {
    fn start() -> Self {
        let kamailio = Kamailio::builder().tm(FR_TIMER).start();
        let daemon = Daemon::builder(&kamailio)
            .token("reader", READER, &["*"], &["read"])
            .token("leaver", LEAVER, &["*"], &["read", "flush"])
            .sections(
                "[notify]
timeout = \"3s\"

[limits]
failures = { burst = 1000, per_second = 100 }
deletes = { burst = 1000, per_second = 100 }
streams_per_token = 64
",
            )
            .start();
        Self {
            kamailio,
            daemon,
            phones: HashMap::new(),
            answering: Vec::new(),
            blind: None,
            large: None,
            fleet: None,
        }
    }

    /// Answers until the tests close the socket.
    fn serve(&mut self, socket: &UnixStream) {
        let mut answers = socket.try_clone().expect("a socket can be cloned");
        for line in BufReader::new(socket).lines() {
            let Ok(line) = line else { return };
            let wish: Value = serde_json::from_str(&line).expect("the tests send JSON");
            let answer = self.fulfil(&wish);
            if writeln!(answers, "{answer}").is_err() {
                return;
            }
        }
    }

    fn fulfil(&mut self, wish: &Value) -> Value {
        let name = wish["name"].as_str().unwrap_or_default();
        match wish["do"].as_str().unwrap_or_default() {
            "register" => {
                let mut phone = self.phone(wish);
                phone.register();
                let source = phone.source().to_string();
                self.phones.insert(name.to_owned(), phone);
                return json!({ "source": source });
            }
            "refresh" => self.of(name).register(),
            "unregister" => {
                self.of(name).unregister();
                self.phones.remove(name);
            }
            "answer" => {
                let answering = self.of(name).answering(wish["status"].as_str());
                self.answering.push(answering);
            }
            "hide-table" => self.move_table("kamailio.sqlite", "elsewhere.sqlite"),
            "show-table" => self.move_table("elsewhere.sqlite", "kamailio.sqlite"),
            "kill" => self.daemon.kill9(),
            "lose-store" => {
                self.daemon.kill9();
                let store = self.daemon.store();
                for part in ["", "-wal", "-shm"] {
                    let file = format!("{}{part}", store.display());
                    fs::remove_file(file).expect("the store is there");
                }
                self.daemon.start();
            }
            "start" => self.daemon.start(),
            "revoke" => {
                let mut revoke = self.daemon.command("token");
                revoke.args(["revoke", name]);
                let status = revoke.status().expect("usrlocd starts");
                assert!(status.success(), "{name} is not revoked: {status}");
            }
            "forget" => {
                let mut forget = Command::new(tools::usrlocd());
                forget.args(["history", "forget", name, "--config"]);
                let status = forget.arg(self.daemon.config_file()).status();
                let status = status.expect("usrlocd starts");
                assert!(status.success(), "{name} is not forgotten: {status}");
            }
            "start-blind" => {
                let folder = self.kamailio.database().with_file_name("");
                let builder = Daemon::builder(&self.kamailio);
                let mut blind = builder.database(&folder.join("nothing.sqlite")).prepare();
                blind.start_unready();
                let origin = format!("http://{}", blind.address());
                self.blind = Some(blind);
                return json!({ "origin": origin });
            }
            "start-large" => {
                let rows = wish["rows"].as_u64().expect("a number of rows");
                let large = Large::start(&self.kamailio, rows);
                let origin = large.origin();
                self.large = Some(large);
                return json!({ "origin": origin });
            }
            "start-fleet" => {
                let fleet = self
                    .fleet
                    .get_or_insert_with(|| Fleet::start(&self.kamailio));
                return fleet.told();
            }
            "silence" => {
                let seconds = wish["seconds"].as_i64().expect("a number of seconds");
                self.fleet
                    .as_ref()
                    .expect("it is started")
                    .silence(name, seconds);
            }
            "change-large" => self.large.as_mut().expect("it is started").change(),
            "stop-kamailio" => self.kamailio.stop(),
            "start-kamailio" => self.kamailio.start(),
            other => panic!("nobody can {other}"),
        }
        json!({})
    }

    /// As somebody does who restores a backup: the file is away for a while.
    fn move_table(&self, from: &str, to: &str) {
        let folder = self.kamailio.database().with_file_name("");
        fs::rename(folder.join(from), folder.join(to)).expect("the table's file is there");
    }

    fn of(&mut self, name: &str) -> &mut Phone {
        self.phones
            .get_mut(name)
            .unwrap_or_else(|| panic!("no phone {name}"))
    }

    fn phone(&self, wish: &Value) -> Phone {
        let text = |key: &str| wish[key].as_str();
        let user = text("user").expect("a phone has a user");
        let account = Account::new(
            text("account").unwrap_or("ac"),
            text("account_name").unwrap_or("Acme"),
            text("realm").unwrap_or("acme.test"),
        );
        let number = u32::try_from(self.phones.len()).expect("some dozens");
        let mut phone = match text("transport") {
            Some("tcp") => Phone::tcp(&self.kamailio, user, &account.realm),
            _ => Phone::new(&self.kamailio, user, &account.realm),
        };
        if wish["plain"].is_null() {
            phone = phone.attributes(&account.device(user, number));
        }
        if let Some(to) = text("to") {
            phone = phone.to(to);
        }
        if let Some(agent) = text("user_agent") {
            phone = phone.user_agent(agent);
        }
        if let Some(contact) = text("contact") {
            phone = phone.contact(contact);
        }
        if let Some(call_id) = text("call_id") {
            phone = phone.call_id(call_id);
        }
        if let Some(path) = text("path") {
            phone = phone.path(path);
        }
        let expires = wish["expires"].as_u64().unwrap_or(3600);
        phone.expires(u32::try_from(expires).expect("some seconds"))
    }
}

#[test]
#[ignore = "takes minutes, a browser, and tools of npm's; `make ui-test` runs it"]
fn what_a_person_does_and_sees() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    let chromium = tools::program("chromium");
    let mut lab = Lab::start();
    let path = lab.daemon.file("lab.sock");
    let listener = UnixListener::bind(&path).expect("the folder takes a socket");
    let mut tests = Command::new(tools::program("node"))
        .arg("--test-reporter=spec")
        .args(env::var("TESTS").map(|names| format!("--test-name-pattern={names}")))
        .arg("page.test.js")
        .current_dir(folder)
        .env("LAB_SOCKET", &path)
        .env("LAB_PAGE", format!("http://{}", lab.daemon.address()))
        .env("LAB_UNIX", lab.daemon.socket())
        .env("LAB_TOKEN", Daemon::TOKEN)
        .env("LAB_READER", READER)
        .env("LAB_LEAVER", LEAVER)
        .env("LAB_CHROMIUM", chromium)
        .spawn()
        .expect("node starts");
    thread::scope(|scope| {
        let lab = &mut lab;
        scope.spawn(move || {
            let (socket, _) = listener.accept().expect("a socket can be accepted");
            lab.serve(&socket);
        });
        let status = tests.wait().expect("node is a child of this test's");
        // Were they to end without having connected, the lab would wait for them for good.
        drop(UnixStream::connect(&path));
        assert!(status.success(), "the page's tests: {status}");
    });
}

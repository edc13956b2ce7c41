//! A real Kamailio: a registrar without phones, whose contacts come by `ul.add`.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::super::*;

/// A Kamailio of our own, ended with its process group when it is dropped.
struct Server {
    directory: TempDir,
    port: u16,
    child: Child,
}

fn configuration(directory: &Path, port: u16) -> String {
    let directory = directory.display();
    format!(
        r#"#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children=2
tcp_children=2
listen=tcp:127.0.0.1:{port}
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "corex.so"
loadmodule "kex.so"
loadmodule "xhttp.so"
loadmodule "jsonrpcs.so"
loadmodule "usrloc.so"
modparam("usrloc", "db_mode", 0)
modparam("usrloc", "use_domain", 1)
modparam("usrloc", "preload", "location")
modparam("jsonrpcs", "transport", 7)
modparam("jsonrpcs", "fifo_name", "{directory}/rpc.fifo")
modparam("jsonrpcs", "dgram_socket", "{directory}/rpc.sock")
request_route {{ exit; }}
event_route[xhttp:request] {{
    if ($hu =~ "^/RPC") {{ jsonrpc_dispatch(); }} else {{ xhttp_reply("404", "Not Found", "text/html", "<html>"); }}
}}
"#
    )
}

impl Server {
    /// Starts one and waits until it answers.
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let config = directory.path().join("kamailio.cfg");
        fs::write(&config, configuration(directory.path(), port)).unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let child = Command::new("kamailio")
            .args(["-DD", "-E", "-m", "16", "-M", "4"])
            .arg("-f")
            .arg(&config)
            .arg("-Y")
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("kamailio is installed");
        let server = Self {
            directory,
            port,
            child,
        };
        for _ in 0..200 {
            if server.http().version().await.is_ok() && server.socket().exists() {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("Kamailio does not start: {}", server.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn socket(&self) -> std::path::PathBuf {
        self.directory.path().join("rpc.sock")
    }

    fn client(endpoint: &str) -> Kamailio {
        Kamailio::new(Options {
            endpoint: endpoint.parse().unwrap(),
            timeout: Duration::from_secs(5),
            connections: 4,
        })
    }

    fn http(&self) -> Kamailio {
        Self::client(&format!("http://127.0.0.1:{}/RPC", self.port))
    }

    fn datagram(&self) -> Kamailio {
        Self::client(&format!("unixgram:{}", self.socket().display()))
    }
}

impl Drop for Server {
    /// TERM to the main process, which ends its children.
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ended = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _waited = self.child.wait();
    }
}

async fn add(kamailio: &Kamailio, aor: &Text, contact: &Text) {
    let params = [
        "location".into(),
        aor.into(),
        contact.into(),
        Param::Integer(3600),
        Param::Integer(-1),
        "0".into(),
        Param::Integer(0),
        Param::Integer(0),
        Param::Integer(5087),
    ];
    kamailio.call("ul.add", &params).await.unwrap();
}

async fn contacts(kamailio: &Kamailio, aor: &Text) -> Vec<Contact> {
    match kamailio.lookup("location", aor).await.unwrap() {
        Lookup::Found(contacts) => contacts,
        Lookup::NoContacts | Lookup::NotFound => Vec::new(),
        Lookup::Misread { read_as } => panic!("{read_as:?}"),
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Fault>) -> (i64, String) {
    match result {
        Err(Fault::Rpc { code, message }) => (code, message),
        other => panic!("{other:?}"),
    }
}

async fn bindings_come_and_go(kamailio: &Kamailio, user: &str) {
    let aor = Text::from(format!("{user}@acme.test").as_str());
    let (first, second) = (
        Text::from("sip:a@192.0.2.1:5060"),
        Text::from("sip:b@192.0.2.2;x=\"y\\z\""),
    );
    assert_eq!(
        kamailio.lookup("location", &aor).await.unwrap(),
        Lookup::NotFound
    );
    assert_eq!(
        kamailio
            .remove_contact("location", &aor, &first)
            .await
            .unwrap(),
        Removed::NoAor
    );
    add(kamailio, &aor, &first).await;
    add(kamailio, &aor, &second).await;
    let found = contacts(kamailio, &aor).await;
    assert_eq!(found.len(), 2);
    for contact in &found {
        assert!(contact.is_live());
        assert!(
            matches!(contact.expires, Expires::Seconds(3500..=3600)),
            "{contact:?}"
        );
        assert!(
            contact.ruid.0.as_bytes().starts_with(b"ulcx-"),
            "{contact:?}"
        );
    }
    let removed = |contact: &Text| {
        let (aor, contact) = (aor.clone(), contact.clone());
        async move {
            kamailio
                .remove_contact("location", &aor, &contact)
                .await
                .unwrap()
        }
    };
    assert_eq!(removed(&"sip:c@192.0.2.3".into()).await, Removed::NoContact);
    assert_eq!(removed(&second).await, Removed::Done);
    let found = contacts(kamailio, &aor).await;
    assert_eq!(
        found
            .iter()
            .map(|contact| &contact.address)
            .collect::<Vec<_>>(),
        [&first]
    );
    kamailio.remove("location", &aor).await.unwrap();
    assert_eq!(contacts(kamailio, &aor).await, []);
    kamailio.remove("location", &aor).await.unwrap();
}

async fn bytes_are_bytes(kamailio: &Kamailio, user: &[u8]) {
    let aor = Text::from([user, b"\xff\xc3\x28@acme.test"].concat());
    let neighbour = Text::from([user, b"\xfe\xc3\x28@acme.test"].concat());
    let contact =
        Text::from(&b"sip:\xff\xe2\x82@192.0.2.1;a=\xf4\x8f\xbf\xbd;b=\"\\\x01\x7f\""[..]);
    add(kamailio, &aor, &contact).await;
    assert_eq!(contacts(kamailio, &aor).await[0].address, contact);
    assert_eq!(contacts(kamailio, &neighbour).await, []);
    kamailio.remove("location", &neighbour).await.unwrap();
    assert_eq!(contacts(kamailio, &aor).await.len(), 1);
    let removed = kamailio
        .remove_contact("location", &aor, &contact)
        .await
        .unwrap();
    assert_eq!(removed, Removed::Done);
    assert_eq!(contacts(kamailio, &aor).await, []);
}

async fn refusals_are_told_apart(kamailio: &Kamailio) {
    let aor = Text::from("u@acme.test");
    let no_table = (500, "Domain table not found".to_owned());
    assert_eq!(refusal(kamailio.lookup("elsewhere", &aor).await), no_table);
    assert_eq!(refusal(kamailio.remove("elsewhere", &aor).await), no_table);
    let no_domain = refusal(kamailio.lookup("location", &"u".into()).await);
    assert_eq!(no_domain, (500, "Domain missing in AOR".to_owned()));
    assert_eq!(Lasting::of(&no_table.1), Some(Lasting::NoTable));
    let (_, message) = refusal(kamailio.call("no.such", &[]).await);
    assert_eq!(Lasting::of(&message), Some(Lasting::NoMethod), "{message}");
    let fault = kamailio
        .lookup("location", &"a\0@acme.test".into())
        .await
        .unwrap_err();
    assert!(matches!(fault, Fault::Unsendable(_)), "{fault:?}");
}

#[tokio::test]
async fn over_http_and_datagram_alike() {
    let server = Server::start().await;
    for (kamailio, user) in [(server.http(), "http"), (server.datagram(), "datagram")] {
        let version = kamailio.version().await.unwrap();
        assert!(
            version.starts_with("kamailio ") && version.ends_with(')'),
            "{version}"
        );
        assert!(kamailio.uptime().await.unwrap().lasted < Duration::from_mins(1));
        bindings_come_and_go(&kamailio, user).await;
        bytes_are_bytes(&kamailio, user.as_bytes()).await;
        refusals_are_told_apart(&kamailio).await;
    }
}

#[tokio::test]
async fn the_longest_request_is_answered_and_a_longer_one_not_sent() {
    let server = Server::start().await;
    let kamailio = server.http();
    let mut sent = 0;
    for length in [1000, 3000, 3200, 3250, 3300, 3350, 3400, 3500, 4100] {
        let aor = Text::from(format!("{}@acme.test", "x".repeat(length)).as_str());
        match kamailio.remove("location", &aor).await {
            Ok(()) => sent = length,
            Err(fault) => assert!(matches!(fault, Fault::Unsendable(_)), "{length}: {fault:?}"),
        }
    }
    assert!((3200..3500).contains(&sent), "{sent}");
}

#[tokio::test]
async fn many_calls_at_once_share_few_connections() {
    let server = Server::start().await;
    for kamailio in [server.http(), server.datagram()] {
        let kamailio = std::sync::Arc::new(kamailio);
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..400 {
            let kamailio = std::sync::Arc::clone(&kamailio);
            calls.spawn(async move {
                let aor = Text::from(format!("many{number}@acme.test").as_str());
                let contact = Text::from(format!("sip:many{number}@192.0.2.1").as_str());
                add(&kamailio, &aor, &contact).await;
                let found = contacts(&kamailio, &aor).await;
                assert_eq!(found[0].address, contact);
                kamailio.remove("location", &aor).await.unwrap();
                assert_eq!(contacts(&kamailio, &aor).await, []);
            });
        }
        while let Some(call) = calls.join_next().await {
            call.unwrap();
        }
    }
}

#[tokio::test]
async fn another_path_and_a_missing_server_are_faults() {
    let server = Server::start().await;
    let elsewhere = Server::client(&format!("http://127.0.0.1:{}/elsewhere", server.port));
    let fault = elsewhere.version().await.unwrap_err();
    assert!(
        matches!(fault, Fault::Http { status } if status == 404),
        "{fault:?}"
    );
    let (http, datagram) = (server.http(), server.datagram());
    let before: Value = http.call("core.uptime", &[]).await.unwrap();
    assert!(before.is_object());
    datagram.version().await.unwrap();
    drop(server);
    assert!(http.version().await.unwrap_err().is_unreachable());
    assert!(datagram.version().await.unwrap_err().is_unreachable());
}

//! Webhooks as an operator sets them up: `check-config` and `webhook test`, with a real receiver.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::thread::JoinHandle;

use serde_json::Value;
use standardwebhooks::Webhook;
use tempfile::TempDir;

use crate::support::tools;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A request: its headers and its body.
type Got = (http::HeaderMap, Vec<u8>);

/// A receiver that answers one request with this head.
fn receiver(answer: &str) -> (SocketAddr, JoinHandle<Got>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
        let mut headers = http::HeaderMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a head");
            match line.trim_end().split_once(": ") {
                Some((name, value)) => {
                    let name = http::HeaderName::try_from(name).expect("a name");
                    headers.insert(name, value.parse().expect("a value"));
                }
                None if line.starts_with("POST ") => {}
                None => break,
            }
        }
        let length = headers["content-length"].to_str().expect("a number");
        let mut body = vec![0; length.parse().expect("a number")];
        reader.read_exact(&mut body).expect("a body");
        stream.write_all(answer.as_bytes()).expect("it listens");
        (headers, body)
    });
    (address, served)
}

/// A folder with a configuration of one webhook, `crm`.
fn configured(url: &str, more: &str) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let secret = folder.path().join("secret");
    fs::write(&secret, SECRET).expect("ours");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("ours");
    let text = format!(
        "[auth]\ntokens_file = \"\"\n[[webhook]]\nname = \"crm\"\nurl = \"{url}\"\nsecret_file = \"{}\"\n{more}\n",
        secret.display()
    );
    fs::write(folder.path().join("c.toml"), text).expect("ours");
    folder
}

fn usrlocd(folder: &Path, verb: &[&str]) -> Output {
    Command::new(tools::usrlocd())
        .args(verb)
        .arg("--config")
        .arg(folder.join("c.toml"))
        .output()
        .expect("it runs")
}

/// What it printed, which never has a secret in it.
fn printed(output: &Output) -> String {
    let text = [&*output.stdout, &*output.stderr].concat();
    let text = String::from_utf8(text).expect("text");
    for secret in [&SECRET[6..], "hidden"] {
        assert!(!text.contains(secret), "{text}");
    }
    text
}

const TEST: [&str; 3] = ["webhook", "test", "crm"];

#[test]
fn a_test_is_one_signed_event() {
    let (address, served) = receiver("204 No Content");
    let folder = configured(
        &format!("http://{address}/x?key=hidden"),
        "allow_private = true",
    );
    let output = usrlocd(folder.path(), &TEST);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains(&format!("http://{address}: the receiver answered 204")),
        "{text}"
    );
    let (headers, body) = served.join().expect("it was asked");
    let independent = Webhook::new(SECRET).expect("a secret");
    independent
        .verify(&body, &headers)
        .expect("a good signature");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["type"], "org.usrlocd.test.v1");
    assert_eq!(body["id"], headers["webhook-id"].to_str().expect("text"));
}

#[test]
fn whatever_is_not_2xx_fails_the_test() {
    for answer in ["500 Oops", "302 Found", "410 Gone"] {
        let (address, served) = receiver(answer);
        let folder = configured(&format!("http://{address}/hidden"), "allow_private = true");
        let output = usrlocd(folder.path(), &TEST);
        let text = printed(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(&answer[..3]), "{text}");
        served.join().expect("it was asked");
    }
    let folder = configured("http://127.0.0.1:9/hidden", "");
    let output = usrlocd(folder.path(), &TEST);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("allow_private"), "{text}");
    let output = usrlocd(folder.path(), &["webhook", "test", "cmr"]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("did you mean crm?"), "{text}");
}

#[test]
fn check_config_says_what_will_not_be_sent() {
    let check = |folder: &TempDir| {
        let output = usrlocd(folder.path(), &["check-config"]);
        (output.status.code(), printed(&output))
    };
    let folder = configured("https://localhost/hidden", "");
    let (status, text) = check(&folder);
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("webhook crm: nothing will be sent"), "{text}");
    let allowed = configured("https://localhost/hidden", "allow_private = true");
    assert!(
        !check(&allowed).1.contains("webhook"),
        "{}",
        check(&allowed).1
    );
    fs::remove_file(folder.path().join("secret")).expect("it is there");
    let (status, text) = check(&folder);
    assert_eq!(status, Some(78), "{text}");
    assert!(text.contains("secret: "), "{text}");
    let shown = usrlocd(allowed.path(), &["check-config", "--print"]);
    let shown = printed(&shown);
    assert!(shown.contains("url = \"https://localhost/…\""), "{shown}");
}

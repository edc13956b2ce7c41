//! A real browser, with a page of another site open, changes nothing: not over TCP, and not over the Unix socket, which an
//! operator has forwarded to a port of this machine as `ssh -L 8000:/run/usrlocd/usrlocd.sock` does.

mod forwarder;

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::flush::audit;
use crate::support::daemon::Daemon;
use crate::support::http;
use crate::support::kamailio::Kamailio;
use crate::support::phone::Phone;
use crate::support::process::Process;
use crate::support::{eventually, holds, tools};
use forwarder::{Forwarder, Passed, To};

/// A name that leads here because its owner wants it to.
const EVIL: &str = "evil.test";

/// A browser starts and opens a page within that on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

const ACCOUNT: &str = "/v2/accounts/acme.example.com/registrations";

/// A browser without a window, in a profile of its own; it ends with this value.
struct Browser {
    process: Process,
    _folder: TempDir,
}

impl Browser {
    /// Opens `url`.
    fn open(url: &str) -> Self {
        let folder = TempDir::with_prefix("usrlocd-browser-").expect("a temporary directory");
        let mut command = Command::new(tools::program("chromium"));
        command
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-proxy-server",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--host-resolver-rules=MAP {EVIL} 127.0.0.1"))
            .arg(format!(
                "--user-data-dir={}",
                folder.path().join("profile").display()
            ))
            .env("HOME", folder.path())
            .arg(url);
        Self {
            process: Process::spawn(&mut command, &folder.path().join("log")),
            _folder: folder,
        }
    }
}

/// A web server with one page; what the page reports is kept.
struct Site {
    address: SocketAddr,
    reports: Arc<Mutex<Vec<String>>>,
}

impl Site {
    fn new(page: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let reports = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&reports);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (page, kept) = (page.clone(), Arc::clone(&kept));
                thread::spawn(move || serve(stream, &page, &kept));
            }
        });
        Self { address, reports }
    }

    /// Waits until the page has reported its end.
    fn is_done(&self, browser: &mut Browser) -> Vec<String> {
        eventually("the page is done", PATIENCE, || {
            let reports = self.reports.lock().expect("nobody panics with it").clone();
            if reports.iter().any(|report| report == "done") {
                return Ok(reports);
            }
            let state = browser.process.ended();
            Err(format!(
                "{reports:?}, {state:?}: {}",
                browser.process.log_tail()
            ))
        })
    }
}

/// Answers one request: with the page, or by taking a report.
fn serve(mut stream: TcpStream, page: &str, reports: &Mutex<Vec<String>>) {
    let mut line = String::new();
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    if reader.read_line(&mut line).is_err() {
        return;
    }
    let path = line.split(' ').nth(1).unwrap_or_default();
    let body = match path.strip_prefix("/report/") {
        Some(report) => {
            reports
                .lock()
                .expect("nobody panics with it")
                .push(report.to_owned());
            ""
        }
        None if path == "/" => page,
        None => "",
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    // A browser that has gone needs no answer.
    let _ = stream.write_all(answer.as_bytes());
}

/// A page that tries to flush the account at each of these addresses, in every way that a page has.
fn page(targets: &[SocketAddr]) -> String {
    let urls: Vec<_> = targets
        .iter()
        .map(|to| format!("http://{to}{ACCOUNT}"))
        .collect();
    format!(
        r#"<!doctype html><script>
const report = (text) => fetch("/report/" + text);
const tried = async (name, what) => {{
  try {{ const answer = await what(); await report(name + ":" + answer.type); }}
  catch (error) {{ await report(name + ":refused"); }}
}};
const form = (url) => new Promise((done) => {{
  const frame = document.createElement("iframe");
  frame.name = "f" + Math.random();
  const form = document.createElement("form");
  Object.assign(form, {{method: "post", action: url + "?verb=delete", target: frame.name, enctype: "text/plain"}});
  document.body.append(frame, form);
  frame.onload = () => done({{type: "form"}});
  form.submit();
}});
onload = async () => {{
  for (const url of {urls:?}) {{
    const post = (url, body) => () => fetch(url, {{method: "POST", mode: "no-cors", credentials: "include", body}});
    await tried("query", post(url + "?verb=delete", ""));
    await tried("body", post(url, '{{"data": {{"verb": "delete"}}}}'));
    await tried("delete", () => fetch(url, {{method: "DELETE", credentials: "include"}}));
    await tried("form", () => form(url));
  }}
  await report("done");
}};
</script><body></body>"#
    )
}

/// What passed with this method; each was asked with the browser's word on where it comes from.
fn of_method<'a>(passed: &'a [Passed], method: &str) -> Vec<&'a Passed> {
    passed.iter().filter(|it| it.method == method).collect()
}

#[test]
fn another_sites_page_flushes_nothing() {
    let kamailio = Kamailio::builder().start();
    let mut phone = Phone::new(&kamailio, "alice", "acme.example.com");
    phone.register();
    let daemon = Daemon::builder(&kamailio).start();
    eventually("the phone is listed", PATIENCE, || {
        let count = daemon.get(&format!("{ACCOUNT}/count"));
        holds(
            count.status == 200 && count.json()["data"]["count"] == 1,
            || count.text(),
        )
    });
    let over_tcp = Forwarder::new(To::Tcp(daemon.address()));
    let over_socket = Forwarder::new(To::Unix(daemon.socket()));
    // Who forwards the socket may flush, and needs no token: the page has only to ask in his name.
    let would = format!("{ACCOUNT}?verb=delete&dry_run=true");
    let answer = http::request(over_socket.address(), "POST", &would, &[], b"").expect("an answer");
    assert_eq!(
        answer.header("X-Would-Flush"),
        Some("1"),
        "{}",
        answer.text()
    );

    let site = Site::new(page(&[over_tcp.address(), over_socket.address()]));
    let mut browser = Browser::open(&format!("http://{EVIL}:{}/", site.address.port()));
    let reports = site.is_done(&mut browser);
    assert_eq!(reports.len(), 9, "{reports:?}");
    for (name, forwarder) in [("TCP", &over_tcp), ("the socket", &over_socket)] {
        let passed = forwarder.passed();
        let posts = of_method(&passed, "POST");
        let posts: Vec<_> = posts
            .iter()
            .filter(|it| it.head.contains("sec-fetch-site"))
            .collect();
        assert_eq!(posts.len(), 3, "{name}: {reports:?} {passed:#?}");
        for post in posts {
            assert_eq!(post.status, Some(403), "{name}: {post:#?}");
            assert!(
                post.head.contains("sec-fetch-site: cross-site"),
                "{post:#?}"
            );
        }
        // The browser asks first, and is not told that it may.
        assert!(
            of_method(&passed, "DELETE").is_empty(),
            "{name}: {passed:#?}"
        );
        assert_eq!(
            of_method(&passed, "OPTIONS").len(),
            1,
            "{name}: {passed:#?}"
        );
    }
    assert_eq!(kamailio.contacts_in_memory(), 1, "the phone is there");
    assert_eq!(audit(&daemon), "", "nothing was tried");
    let count = daemon.get(&format!("{ACCOUNT}/count"));
    assert_eq!(count.json()["data"]["count"], 1);
}

/// A page whose own name leads here now (DNS rebinding) is of the same site, for the browser. It learns nothing.
#[test]
fn a_rebound_name_is_misdirected() {
    let kamailio = Kamailio::builder().start();
    let daemon = Daemon::builder(&kamailio).start();
    let forwarder = Forwarder::new(To::Unix(daemon.socket()));
    for path in ["/v2/registrations", "/metrics"] {
        let url = format!("http://{EVIL}:{}{path}", forwarder.address().port());
        let browser = Browser::open(&url);
        let passed = eventually("the browser asks", PATIENCE, || {
            let passed = forwarder.passed();
            let found = passed
                .into_iter()
                .find(|it| it.target == path && it.status.is_some());
            found.ok_or_else(|| browser.process.log_tail())
        });
        assert_eq!(passed.status, Some(421), "{passed:#?}");
        assert!(
            passed.head.contains(&format!("host: {EVIL}:")),
            "{passed:#?}"
        );
    }
    // By its address it would have been answered.
    let answer = http::request(forwarder.address(), "GET", "/v2/registrations", &[], b"");
    assert_eq!(answer.expect("an answer").status, 200);
}

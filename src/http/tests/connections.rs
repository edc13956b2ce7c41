//! Real sockets: slow clients, too many of them, the Unix socket, the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::site::{Site, phone, settings};
use crate::config::Limits;
use crate::http::{Listeners, serve};

const LIST: &str = "GET /v2/accounts/acme/registrations HTTP/1.1\r\nhost: localhost\r\nx-auth-token: ops-token\r\n";
const GRACE: Duration = Duration::from_millis(300);

pub(super) struct Served {
    pub(super) address: std::net::SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<bool>,
}

pub(super) async fn served(site: &Site) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let listeners = Listeners {
        tcp: vec![listener],
        unix: None,
    };
    let task = TaskTracker::new().spawn(serve(
        listeners,
        Arc::clone(&site.app),
        shutdown.clone(),
        GRACE,
    ));
    Served {
        address,
        shutdown,
        task,
    }
}

fn site(limits: &Limits) -> Site {
    let site = Site::with(settings(), limits);
    site.furnish();
    site
}

/// Sends `request` and reads what comes until the other side closes.
async fn exchange(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    to_end(&mut stream).await
}

async fn to_end(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), reading)
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn answers_over_tcp() {
    let site = site(&Limits::default());
    let served = served(&site).await;
    let answer = exchange(served.address, &format!("{LIST}connection: close\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\"page_size\":3"));
}

#[tokio::test]
async fn slow_heads_and_bodies_end() {
    let site = site(&Limits {
        header_timeout: Duration::from_millis(200),
        ..Limits::default()
    });
    let served = served(&site).await;
    let answer = exchange(served.address, "GET / HTTP/1.1\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(envelope(&answer)["message"] == "request_timeout");
    assert_eq!(exchange(served.address, "").await, "", "nothing was asked");
    let answer = exchange(
        served.address,
        &format!("{LIST}content-length: 10\r\n\r\n{{"),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("request_timeout"));
}

/// HTTP/1.0 knows where an answer ends by its length or by the connection's end, and no `Host`.
#[tokio::test]
async fn http_1_0_is_told_where_an_answer_ends() {
    let site = site(&Limits::default());
    site.add((100..200).map(|number| phone("acme", &format!("u{number}"), number)));
    let served = served(&site).await;
    let ask = async |method: &str, path: &str, headers: &str| {
        let request = format!(
            "{method} {path} HTTP/1.0\r\nx-auth-token: ops-token\r\nconnection: keep-alive\r\n{headers}\r\n"
        );
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        // A connection that stays open ends with our side's end.
        stream.shutdown().await.unwrap();
        to_end(&mut stream).await
    };
    let list = "/v2/accounts/acme/registrations";
    let mut kept = 0;
    for (method, path, headers) in [
        ("GET", list, ""),
        ("GET", list, "accept: text/csv\r\n"),
        ("HEAD", list, ""),
        (
            "GET",
            "/v2/accounts/acme/registrations?pretty_print=true",
            "",
        ),
        ("GET", "/v2/accounts/acme/registrations/count", ""),
        ("GET", "/livez", "host: localhost\r\n"),
        ("OPTIONS", list, ""),
        ("GET", "/nothing", ""),
    ] {
        let answer = ask(method, path, headers).await;
        let (head, _) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            !head.contains("transfer-encoding"),
            "{method} {path}: {head}"
        );
        let stays = head.contains("keep-alive");
        kept += usize::from(stays);
        assert!(
            !stays || head.contains("content-length: "),
            "{method} {path}: {head}"
        );
    }
    assert!(kept > 0, "some are kept");
    // Written piece by piece, it has no length.
    let answer = ask(
        "GET",
        "/v2/accounts/acme/registrations?pretty_print=true",
        "",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    assert!(
        answer.ends_with('}') && !answer.contains("keep-alive"),
        "it is whole"
    );
    let answer = ask("GET", "/livez", "host: evil.example\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 421 "), "{answer}");
}

/// The body of an answer.
fn envelope(answer: &str) -> serde_json::Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

#[tokio::test]
async fn what_is_too_large_or_no_http_is_refused_in_an_envelope() {
    let site = site(&Limits::default());
    let served = served(&site).await;
    let long = "x".repeat(70_000);
    let many = "x-y: z\r\n".repeat(200);
    for (request, status, message) in [
        ("nonsense\r\n\r\n".to_owned(), "400", "validation error"),
        (
            "GET / HTTP/1.1\r\nx: \0\r\n\r\n".to_owned(),
            "400",
            "validation error",
        ),
        (
            format!("{LIST}content-length: x\r\n\r\n"),
            "400",
            "validation error",
        ),
        (
            format!("{LIST}x: {long}\r\n\r\n"),
            "431",
            "header_too_large",
        ),
        (format!("{LIST}{many}\r\n"), "431", "header_too_large"),
        (
            format!("GET /{long} HTTP/1.1\r\n\r\n"),
            "414",
            "uri_too_long",
        ),
        (
            format!("{LIST}content-length: 99999\r\n\r\n"),
            "400",
            "validation error",
        ),
    ] {
        let answer = exchange(served.address, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        let envelope = envelope(&answer);
        assert_eq!(envelope["error"], status);
        assert_eq!(envelope["message"], message);
        let id = envelope["request_id"].as_str().unwrap();
        assert!(answer.contains(&format!("x-request-id: {id}\r\n")));
    }
}

/// An answer for people: its status, its header in order, its body indented; without what is different each time.
fn shown(answer: &str) -> String {
    let (head, _) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap();
    let mut header: Vec<_> = lines.filter(|line| !line.starts_with("date: ")).collect();
    header.sort_unstable();
    let envelope = envelope(answer);
    let id = envelope["request_id"].as_str().unwrap();
    let body = serde_json::to_string_pretty(&envelope).unwrap();
    let shown = format!("{status}\n{}\n\n{body}", header.join("\n"));
    shown.replace(id, "REQUEST-ID")
}

#[tokio::test]
async fn what_is_refused_before_it_is_a_request_is_shown() {
    let site = site(&Limits {
        connections: 1,
        header_timeout: Duration::from_secs(3),
        ..Limits::default()
    });
    let served = served(&site).await;
    let long = "x".repeat(70_000);
    for (name, request) in [
        ("no_http", "nonsense\r\n\r\n".to_owned()),
        ("slow_header", "GET / HTTP/1.1\r\n".to_owned()),
        ("long_uri", format!("GET /{long} HTTP/1.1\r\n\r\n")),
        ("large_header", format!("{LIST}x: {long}\r\n\r\n")),
    ] {
        // The room of the one before may not be free yet.
        let answer = loop {
            let answer = exchange(served.address, &request).await;
            if !answer.starts_with("HTTP/1.1 503 ") {
                break answer;
            }
        };
        insta::assert_snapshot!(name, shown(&answer));
    }
    let mut first = loop {
        let mut first = TcpStream::connect(served.address).await.unwrap();
        first
            .write_all(format!("{LIST}\r\n").as_bytes())
            .await
            .unwrap();
        let mut start = [0; 12];
        first.read_exact(&mut start).await.unwrap();
        if start == *b"HTTP/1.1 200" {
            break first;
        }
    };
    let answer = exchange(served.address, &format!("{LIST}\r\n")).await;
    insta::assert_snapshot!("no_room", shown(&answer));
    first.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_read_after_a_good_request_leaves_its_answer_whole() {
    let site = site(&Limits::default());
    let served = served(&site).await;
    let answer = exchange(served.address, &format!("{LIST}\r\nnonsense\r\n\r\n")).await;
    let (first, second) = answer.rsplit_once("HTTP/1.1 400 ").unwrap();
    assert!(first.starts_with("HTTP/1.1 200 ") && first.ends_with('}'));
    assert_eq!(
        envelope(&format!("HTTP/1.1 400 {second}"))["message"],
        "validation error"
    );
}

#[tokio::test]
async fn a_refused_body_that_is_sent_all_the_same_never_ends_in_a_reset() {
    let site = site(&Limits {
        connections: 1,
        ..Limits::default()
    });
    let served = served(&site).await;
    let body = "x".repeat(200_000);
    let head = LIST.replace("GET", "DELETE");
    let sized = format!("{head}content-length: 200000\r\n\r\n{body}");
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n30D40\r\n{body}\r\n0\r\n\r\n");
    for _ in 0..20 {
        for request in [&sized, &chunked] {
            let answer = exchange(served.address, request).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
            assert!(answer.contains("must not be more than"));
        }
    }
    let mut first = TcpStream::connect(served.address).await.unwrap();
    first
        .write_all(format!("{LIST}\r\n").as_bytes())
        .await
        .unwrap();
    first.read_exact(&mut [0]).await.unwrap();
    for _ in 0..20 {
        for request in [&sized, &chunked] {
            let answer = exchange(served.address, request).await;
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            assert_eq!(envelope(&answer)["message"], "service_unavailable");
        }
    }
    assert!(site.fake.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn head_of_a_streamed_list_claims_no_length() {
    let site = site(&Limits::default());
    site.add((0..2000).map(|number| phone("acme", &format!("u{number}"), number + 10)));
    let served = served(&site).await;
    let head = LIST.replace("GET", "HEAD");
    for query in ["", "?filter_cseq=7", "?accept=csv", "?pretty_print=true"] {
        let head = head.replace("registrations", &format!("registrations{query}"));
        // The connection stays good for another request.
        let answer = exchange(
            served.address,
            &format!("{head}\r\n{head}connection: close\r\n\r\n"),
        )
        .await;
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
        assert!(!answer.contains("content-length"), "{answer}");
    }
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let mut settings = settings();
    settings.cors_origins = vec!["*".to_owned()];
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let site = Site::with(settings, &limits);
    let served = served(&site).await;
    let mut first = TcpStream::connect(served.address).await.unwrap();
    first
        .write_all(format!("{LIST}\r\n").as_bytes())
        .await
        .unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let browser = format!("{LIST}origin: https://a.example\r\n\r\n");
    let answer = exchange(served.address, &browser).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.contains("access-control-allow-origin: *"),
        "{answer}"
    );
    assert!(answer.contains("service_unavailable") && answer.contains("retry-after: 1"));
    drop(first);
    // The room is free again as soon as the server has seen the end of the first.
    loop {
        let answer = exchange(served.address, &format!("{LIST}connection: close\r\n\r\n")).await;
        if answer.starts_with("HTTP/1.1 200 ") {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_end_waits_for_answers_but_not_for_ever() {
    let site = site(&Limits::default());
    let served = served(&site).await;
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    idle.write_all(format!("{LIST}\r\n").as_bytes())
        .await
        .unwrap();
    let mut byte = [0];
    idle.read_exact(&mut byte).await.unwrap();
    served.shutdown.cancel();
    to_end(&mut idle).await;
    assert!(served.task.await.unwrap());

    let served = self::served(&site).await;
    site.add((0..20_000).map(|number| phone("acme", &format!("u{number}"), number)));
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    slow.write_all(format!("{LIST}\r\n").as_bytes())
        .await
        .unwrap();
    slow.read_exact(&mut byte).await.unwrap();
    served.shutdown.cancel();
    assert!(
        !served.task.await.unwrap(),
        "somebody who does not read is cut off"
    );
}

#[tokio::test]
async fn on_the_unix_socket_its_owner_needs_no_token() {
    let site = site(&Limits::default());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listeners = Listeners {
        tcp: Vec::new(),
        unix: Some(UnixListener::bind(&path).unwrap()),
    };
    let shutdown = CancellationToken::new();
    let _served =
        TaskTracker::new().spawn(serve(listeners, Arc::clone(&site.app), shutdown, GRACE));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let request = "DELETE /v2/accounts/acme/registrations HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(to_end(&mut stream).await.starts_with("HTTP/1.1 200 "));
    let asked = site.fake.asked.lock().unwrap();
    assert!(asked[0].actor.token.starts_with("unix:"));
}

//! Faults that a real Kamailio cannot be made to show at will, shown by fakes.

use std::future::Future;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixDatagram};
use tokio::task::JoinSet;

use super::super::*;

/// A fake of Kamailio's HTTP side; its tasks end with it.
struct Fake {
    client: Kamailio,
    _tasks: JoinSet<()>,
}

impl Fake {
    /// `serve` gets each connection, with its number.
    async fn start<S, F>(serve: S) -> Self
    where
        S: Fn(usize, TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/RPC", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(number, stream));
            }
        });
        Self {
            client: client(&endpoint, Duration::from_secs(5)),
            _tasks: tasks,
        }
    }
}

fn client(endpoint: &str, timeout: Duration) -> Kamailio {
    Kamailio::new(Options {
        endpoint: endpoint.parse().unwrap(),
        timeout,
        connections: 2,
    })
}

/// Reads one request and returns its id; `None` at the connection's end.
async fn request(stream: &mut TcpStream) -> Option<u64> {
    let mut received = Vec::new();
    loop {
        let head_end = received.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = head_end {
            let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
            assert!(!head.contains("transfer-encoding"), "{head}");
            let (_, length) = head.split_once("content-length: ").expect("a length");
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            let body = &received[end + 4..];
            if body.len() >= length {
                let body: Value = serde_json::from_slice(body).unwrap();
                return body["id"].as_u64();
            }
        }
        if stream.read_buf(&mut received).await.ok()? == 0 {
            return None;
        }
    }
}

fn reply(body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nSia: SIP/2.0/TCP 127.0.0.1:1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn good(id: u64) -> String {
    reply(&format!(
        r#"{{"jsonrpc":"2.0","result":"x {id}","id":{id}}}"#
    ))
}

async fn write(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// A fake that answers the first request on each connection with `answer` and closes.
async fn answers(answer: impl Fn(u64) -> String + Clone + Send + 'static) -> Fake {
    Fake::start(move |_, mut stream| {
        let answer = answer.clone();
        async move {
            if let Some(id) = request(&mut stream).await {
                write(&mut stream, &answer(id)).await;
            }
        }
    })
    .await
}

async fn fault(fake: &Fake) -> Fault {
    fake.client.call("core.version", &[]).await.unwrap_err()
}

#[tokio::test]
async fn a_connection_is_kept() {
    let fake = Fake::start(|number, mut stream| async move {
        assert_eq!(number, 0, "one connection for calls one after the other");
        while let Some(id) = request(&mut stream).await {
            write(&mut stream, &good(id)).await;
        }
    })
    .await;
    for _ in 0..20 {
        fake.client.version().await.unwrap();
    }
}

#[tokio::test]
async fn a_close_after_each_reply_does_not_show() {
    let fake = answers(good).await;
    for _ in 0..50 {
        fake.client.version().await.unwrap();
    }
}

#[tokio::test]
async fn a_close_on_reuse_is_tried_again_once() {
    // The first connection answers once, takes a second request, and ends without a byte.
    let fake = Fake::start(|number, mut stream| async move {
        let id = request(&mut stream).await.unwrap();
        write(&mut stream, &good(id)).await;
        if number == 0 {
            request(&mut stream).await.unwrap();
        } else {
            let id = request(&mut stream).await.unwrap();
            write(&mut stream, &good(id)).await;
        }
    })
    .await;
    for _ in 0..3 {
        fake.client.version().await.unwrap();
    }
}

#[tokio::test]
async fn a_reply_that_is_cut_on_reuse_is_not_tried_again() {
    let fake = Fake::start(|number, mut stream| async move {
        assert_eq!(number, 0, "no second connection");
        let id = request(&mut stream).await.unwrap();
        write(&mut stream, &good(id)).await;
        request(&mut stream).await.unwrap();
        write(&mut stream, "HTTP/1.1 2").await;
    })
    .await;
    fake.client.version().await.unwrap();
    let fault = fault(&fake).await;
    assert!(matches!(fault, Fault::Malformed(_)), "{fault:?}");
}

#[tokio::test]
async fn a_fresh_connection_that_ends_in_silence_is_unreachable() {
    let fake = Fake::start(|_, mut stream| async move {
        request(&mut stream).await;
    })
    .await;
    assert!(fault(&fake).await.is_unreachable());
}

#[tokio::test]
async fn a_cut_body_is_malformed_even_where_it_is_json() {
    let cut = answers(|id| good(id).replace("Content-Length: ", "Content-Length: 1")).await;
    let fault = fault(&cut).await;
    assert!(matches!(fault, Fault::Malformed(_)), "{fault:?}");
}

#[tokio::test]
async fn what_answers_something_else_is_malformed() {
    for answer in [
        |id| good(id + 1),
        |_| reply(r#"{"jsonrpc":"2.0","result":{}}"#),
        |id| reply(&format!(r#"{{"jsonrpc":"2.0","result":{{}},"id":"{id}"}}"#)),
        |id| reply(&format!(r#"{{"jsonrpc":"2.0","id":{id}}}"#)),
        |_| reply(r#"{"jsonrpc":"2.0","error":{"code":500,"message":"not yours"},"id":1}"#),
        |_| reply(""),
        |_| "SIP/2.0 200 OK\r\n\r\n".to_owned(),
        |_| reply("<html>"),
    ] {
        let answer: fn(u64) -> String = answer;
        let fault = fault(&answers(answer).await).await;
        assert!(
            matches!(fault, Fault::Malformed(_)),
            "{}: {fault:?}",
            answer(0)
        );
    }
}

#[tokio::test]
async fn a_status_of_http_is_told() {
    for (status, words) in [
        ("403 Forbidden", "list of addresses"),
        ("404 Not Found", "path in [kamailio] jsonrpc"),
        ("302 Found", "path in [kamailio] jsonrpc"),
        ("500 Server error", "Kamailio's log"),
    ] {
        for body in ["", "<html>no</html>", "{\"error\":\"forbidden\"}"] {
            let fake = answers(move |_| reply(body).replacen("200 OK", status, 1)).await;
            let fault = fault(&fake).await;
            let number = &status[..3];
            assert!(
                matches!(&fault, Fault::Http { status } if status.as_str() == number),
                "{status}: {fault:?}"
            );
            let told = fault.to_string();
            assert!(told.contains(number) && told.contains(words), "{told}");
        }
    }
    // jsonrpcs gives its refusals the status that is their code.
    let refusal = |id| {
        let body = format!(
            "{{\"jsonrpc\":\"2.0\",\"error\":{{\"code\":500,\"message\":\"no\"}},\"id\":{id}}}"
        );
        reply(&body).replacen("200 OK", "500 no", 1)
    };
    let fault = fault(&answers(refusal).await).await;
    assert!(matches!(fault, Fault::Rpc { code: 500, .. }), "{fault:?}");
}

#[tokio::test]
async fn a_reply_beyond_the_limit_is_too_large() {
    let said = answers(|_| "HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n{".to_owned()).await;
    assert!(matches!(fault(&said).await, Fault::TooLarge));
    let unsaid = Fake::start(|_, mut stream| async move {
        request(&mut stream).await;
        write(&mut stream, "HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b' '; 8192]).await.is_ok() {}
    })
    .await;
    assert!(matches!(fault(&unsaid).await, Fault::TooLarge));
}

#[tokio::test]
async fn silence_is_a_timeout_and_the_next_call_works() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/RPC", listener.local_addr().unwrap());
    let client = client(&endpoint, Duration::from_millis(100));
    let serve = async {
        let (mut silent, _) = listener.accept().await.unwrap();
        let late = request(&mut silent).await.unwrap();
        let (mut slow, _) = listener.accept().await.unwrap();
        let id = request(&mut slow).await.unwrap();
        write(&mut slow, &good(id)[..20]).await;
        let (mut swift, _) = listener.accept().await.unwrap();
        let id = request(&mut swift).await.unwrap();
        write(&mut swift, &good(id)).await;
        let _refused = silent.write_all(good(late).as_bytes()).await;
    };
    let calls = async {
        assert!(client.version().await.unwrap_err().is_timeout(), "no byte");
        assert!(
            client.version().await.unwrap_err().is_timeout(),
            "part of a reply"
        );
        client.version().await.unwrap();
    };
    tokio::join!(serve, calls);
}

#[tokio::test]
async fn waiting_for_a_free_connection_counts_while_nobody_is_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/RPC", listener.local_addr().unwrap());
    let client = client(&endpoint, Duration::from_millis(100));
    let calls = (client.version(), client.version(), client.version());
    let (first, second, third) = tokio::join!(calls.0, calls.1, calls.2);
    for result in [first, second, third] {
        assert!(result.unwrap_err().is_timeout());
    }
}

#[tokio::test]
async fn a_busy_kamailio_answers_all_who_wait_their_turn() {
    // Two connections at a time, each reply well within the time-out, and the last caller's turn far beyond it.
    let mut fake = Fake::start(|_, mut stream| async move {
        while let Some(id) = request(&mut stream).await {
            tokio::time::sleep(Duration::from_millis(200)).await;
            write(&mut stream, &good(id)).await;
        }
    })
    .await;
    fake.client.timeout = Duration::from_secs(1);
    let calls = (0..24).map(|_| fake.client.version());
    for result in futures_util::future::join_all(calls).await {
        result.unwrap();
    }
}

#[tokio::test]
async fn datagrams_that_answer_something_else_are_dropped() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("rpc.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    let client = client(
        &format!("unixgram:{}", path.display()),
        Duration::from_secs(5),
    );
    let serve = async {
        let mut buffer = vec![0; 65_536];
        let (length, sender) = socket.recv_from(&mut buffer).await.unwrap();
        let request: Value = serde_json::from_slice(&buffer[..length]).unwrap();
        let id = request["id"].as_u64().unwrap();
        let sender: std::os::unix::net::SocketAddr = sender.into();
        let send = |text: String| {
            let std = std::os::unix::net::UnixDatagram::unbound().unwrap();
            std.send_to_addr(text.as_bytes(), &sender).unwrap();
        };
        send(format!(r#"{{"result":"stale","id":{}}}"#, id ^ 1));
        send(r#"{"result":{}}"#.to_owned());
        send(format!(r#"{{"result":"right","id":{id}}}"#));
    };
    let (version, ()) = tokio::join!(client.version(), serve);
    assert_eq!(version.unwrap(), "right");
}

#[tokio::test]
async fn silent_and_missing_datagram_sockets_are_told_apart() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("rpc.sock");
    let client = client(
        &format!("unixgram:{}", path.display()),
        Duration::from_millis(100),
    );
    assert!(client.version().await.unwrap_err().is_unreachable());
    let socket = UnixDatagram::bind(&path).unwrap();
    assert!(client.version().await.unwrap_err().is_timeout());
    // A queue that nobody reads fills up; that is a time-out too, not an error of its own.
    let full = std::os::unix::net::UnixDatagram::unbound().unwrap();
    full.set_nonblocking(true).unwrap();
    while full.send_to(b"x", &path).is_ok() {}
    assert!(client.version().await.unwrap_err().is_timeout());
    drop(socket);
    assert!(client.version().await.unwrap_err().is_unreachable());
}
